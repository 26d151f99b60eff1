"""From an HTTP request on /v2/keys to the Request that is executed or replicated.

Pure. Mirrors parseKeyRequest of etcd 2.3.8's etcdhttp/client.go and the parts of Go's net/http and
mime packages it stands on; the order of the checks decides which error a client sees.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import (
    INDEX_NAN,
    INVALID_FIELD,
    INVALID_FORM,
    PREV_VALUE_REQUIRED,
    REFRESH_TTL_REQUIRED,
    REFRESH_VALUE,
    TTL_NAN,
    StoreError,
)
from coreos_py.etcd.pb import Request

if TYPE_CHECKING:
    from typing import Never

PREFIX = "/v2/keys"
STORE_PREFIX = "/1"
MAX_FORM_BYTES = 10 << 20
FORM_TYPE = "application/x-www-form-urlencoded"

_U64 = 1 << 64
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_HEX = frozenset(b"0123456789abcdefABCDEF")
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]*")
_BODY_METHODS = frozenset(("PUT", "POST", "PATCH"))

PROGRESS_MAX_S = 86400

Form = dict[str, str]


class QuietRequest(Request):
    """A request of a client who wants no nodes in the reply to a write, as etcd 3 has it."""

    __slots__ = ()


def parse(
    method: str,
    path: str,
    *,
    query: bytes,
    content_type: bytes,
    body: bytes,
    now_ns: int,
    request_id: int = 0,
) -> Request:
    """The request to run for a decoded, clean `path` under /v2/keys; StoreError if it is malformed.

    `now_ns` turns a ttl into an absolute time.
    """
    store_path = STORE_PREFIX + path[len(PREFIX) :].rstrip("/")
    form: Form = {}
    if method in _BODY_METHODS and is_form(content_type) and body:
        if not query and _is_plain_value(body):
            value = body[6:].decode("utf-8", "surrogateescape")
            return Request(request_id, method, store_path, value)
        form = _body_form(body)
    if query:
        for name, value in _parse_query(query).items():
            form.setdefault(name, value)
    if not form:
        return Request(request_id, method, store_path)
    if len(form) == 1 and "value" in form:
        return Request(request_id, method, store_path, form["value"])
    request = _from_form(method, store_path, form=form, now_ns=now_ns)
    return request._replace(id=request_id) if request_id else request


class WatchWishes(NamedTuple):
    """What only our watches can do."""

    replay: bool = False
    """A stream starts with all of the history that it asks for."""
    progress_s: int = 0
    """How often to hear how far the store has come, 0 for never."""


def watch_wishes(query: bytes) -> WatchWishes:
    """The wishes in the query of a watch; StoreError if one is malformed."""
    if b"replay" not in query and b"progress" not in query:
        return _NO_WISHES
    form = _parse_query(query)
    progress_s = 0
    if "progress" in form:
        progress_s = _uint64(form["progress"]) or 0
        if not 0 < progress_s <= PROGRESS_MAX_S:
            raise StoreError(INVALID_FIELD, 'invalid value for "progress"')
    return WatchWishes(_flag(form, "replay"), progress_s)


_NO_WISHES = WatchWishes()


def unescape_path(path: bytes) -> str:
    """Percent escapes of a URL path decoded; the caller has refused malformed ones."""
    if b"%" in path:
        path = _decode(path)
    return path.decode("utf-8", "surrogateescape")


def clean_path(path: str) -> str:
    """Go's path.Clean with a trailing slash kept: where an unclean path is redirected to."""
    if not path:
        return "/"
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part and part != ".":
            parts.append(part)
    cleaned = "/" + "/".join(parts)
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


def is_clean(path: str) -> bool:
    """True if clean_path would leave the path as it is."""
    if path[:1] != "/":
        return False
    return ("//" not in path and "/." not in path) or clean_path(path) == path


def _from_form(method: str, store_path: str, *, form: Form, now_ns: int) -> Request:
    prev_index = _index(form, "prevIndex")
    since = _index(form, "waitIndex")
    recursive = _flag(form, "recursive")
    is_sorted = _flag(form, "sorted")
    wait = _flag(form, "wait")
    is_dir = _flag(form, "dir")
    quorum = _flag(form, "quorum")
    stream = _flag(form, "stream")
    if wait and method != "GET":
        raise StoreError(INVALID_FIELD, '"wait" can only be used with GET requests')
    prev_value = form.get("prevValue", "")
    if "prevValue" in form and not prev_value:
        raise StoreError(PREV_VALUE_REQUIRED, '"prevValue" cannot be empty')
    # etcd 2.3.8 does not know this parameter of 3.x, so nothing in it may be an error.
    kind = QuietRequest if form.get("noValueOnSuccess") in _TRUE else Request
    ttl_s = _ttl(form)
    prev_exist = _tristate(form, "prevExist")
    refresh = _tristate(form, "refresh")
    if refresh:
        if form.get("value"):
            raise StoreError(REFRESH_VALUE, "A value was provided on a refresh")
        if ttl_s is None:
            raise StoreError(REFRESH_TTL_REQUIRED, "No TTL value set")
    return kind(
        0,
        method,
        store_path,
        form.get("value", ""),
        is_dir,
        prev_value,
        prev_index,
        prev_exist,
        0 if ttl_s is None else _expiration(ttl_s, now_ns),
        wait,
        since,
        recursive,
        is_sorted,
        quorum,
        0,
        stream,
        refresh,
    )


def _expiration(ttl_s: int, now_ns: int) -> int:
    """Absolute expiry in int64 arithmetic, which wraps around for absurd values as Go's does."""
    return _wrap(now_ns + _wrap(ttl_s * 1_000_000_000))


def _wrap(value: int) -> int:
    value %= _U64
    return value - _U64 if value >> 63 else value


def _index(form: Form, name: str) -> int:
    text = form.get(name)
    if text is None:
        return 0
    value = _uint64(text)
    if value is None:
        raise StoreError(INDEX_NAN, f'invalid value for "{name}"')
    return value


def _ttl(form: Form) -> int | None:
    text = form.get("ttl")
    if not text:
        return None
    value = _uint64(text)
    if value is None:
        raise StoreError(TTL_NAN, 'invalid value for "ttl"')
    return value


def _uint64(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > 20:
        text = text.lstrip("0") or "0"
        if len(text) > 20:
            return None
    value = int(text)
    return value if value < _U64 else None


def _flag(form: Form, name: str) -> bool:
    text = form.get(name)
    if text is None or text in _FALSE:
        return False
    if text in _TRUE:
        return True
    raise StoreError(INVALID_FIELD, f'invalid value for "{name}"')


def _tristate(form: Form, name: str) -> bool | None:
    text = form.get(name)
    if text is None:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise StoreError(INVALID_FIELD, f"invalid value for {name}")


# --- forms ----------------------------------------------------------------------------------------


def _is_plain_value(body: bytes) -> bool:
    """Whether a form is nothing but `value=` and text that stands for itself."""
    return (
        body.startswith(b"value=")
        and b"&" not in body
        and b"%" not in body
        and b"+" not in body
        and b";" not in body
        and len(body) <= MAX_FORM_BYTES
    )


def _body_form(body: bytes) -> Form:
    if len(body) > MAX_FORM_BYTES:
        raise StoreError(INVALID_FORM, "http: POST too large")
    return _parse_query(body)


def _parse_query(data: bytes) -> Form:
    """First value of every name. The first malformed pair is the error, the later ones are not."""
    if b"%" not in data and b"+" not in data and b";" not in data:
        if b"&" not in data:
            name, _, value = data.partition(b"=")
            return {
                name.decode("utf-8", "surrogateescape"): value.decode("utf-8", "surrogateescape")
            }
        form: Form = {}
        for pair in data.decode("utf-8", "surrogateescape").split("&"):
            if pair:
                key, _, text = pair.partition("=")
                form.setdefault(key, text)
        return form
    if b";" in data:  # told before any bad escape, wherever the two stand
        raise StoreError(INVALID_FORM, "invalid semicolon separator in query")
    form = {}
    for raw in data.split(b"&"):
        if raw:
            name, _, value = raw.partition(b"=")
            form.setdefault(_unquote(name), _unquote(value))
    return form


def _unquote(data: bytes) -> str:
    if b"+" in data:
        data = data.replace(b"+", b" ")
    if b"%" in data:
        data = _decode(data)
    return data.decode("utf-8", "surrogateescape")


def _decode(data: bytes) -> bytes:
    head, *rest = data.split(b"%")
    out = [head]
    for piece in rest:
        if len(piece) < 2 or piece[0] not in _HEX or piece[1] not in _HEX:
            _bad_escape(data)
        out.append(bytes((int(piece[:2], 16),)))
        out.append(piece[2:])
    return b"".join(out)


def _bad_escape(data: bytes) -> Never:
    at = 0
    while True:
        at = data.index(b"%", at)
        if _ESCAPE.match(data, at) is None:
            break
        at += 3
    text = data[at : at + 3].decode("utf-8", "surrogateescape")
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    raise StoreError(INVALID_FORM, f'invalid URL escape "{text}"')


_FORM_TYPES: dict[bytes, bool] = {}
_FORM_TYPES_MAX = 64


def is_form(content_type: bytes) -> bool:
    """True for a form; StoreError where Go's mime parser refuses the header."""
    known = _FORM_TYPES.get(content_type)
    if known is not None:
        return known
    kind, problem = media_type(content_type.decode("latin-1")) if content_type else ("", "")
    if problem:
        raise StoreError(INVALID_FORM, problem)
    if len(_FORM_TYPES) >= _FORM_TYPES_MAX:
        _FORM_TYPES.clear()
    _FORM_TYPES[content_type] = found = kind == FORM_TYPE
    return found


def media_type(text: str) -> tuple[str, str]:
    """(lower-case type, problem) of a Content-Type, after Go 1.19's mime.ParseMediaType."""
    base, _, rest = text.partition(";")
    kind = base.strip().lower()
    problem = _check_type(kind)
    if problem:
        return "", problem
    rest = ";" + rest if ";" in text else ""
    seen: set[str] = set()
    while rest.strip():
        name, rest = _parameter(rest.lstrip())
        if not name:
            if rest.strip() == ";":  # a trailing semicolon is tolerated
                return kind, ""
            return "", "mime: invalid media parameter"
        if name in seen:
            return "", "mime: duplicate parameter name"
        seen.add(name)
    return kind, ""


def _check_type(kind: str) -> str:
    first = _token(kind)
    if not first:
        return "mime: no media type"
    rest = kind[len(first) :]
    if not rest:
        return ""
    if rest[0] != "/":
        return "mime: expected slash after first token"
    second = _token(rest[1:])
    if not second:
        return "mime: expected token after slash"
    if rest[1 + len(second) :]:
        return "mime: unexpected content after media subtype"
    return ""


def _token(text: str) -> str:
    found = _TOKEN.match(text)
    return found.group() if found else ""


def _parameter(text: str) -> tuple[str, str]:
    """One `; name=value` off the front; an empty name if there is none."""
    rest = text[1:].lstrip() if text[0] == ";" else ""
    name = _token(rest)
    after = rest[len(name) :].lstrip()
    if not name or after[:1] != "=":
        return "", text
    after = after[1:].lstrip()
    if after[:1] == '"':
        found = re.match(r'"(?:[^"\\\r\n]|\\.)*"', after)
        value = found.group() if found else ""
    else:
        value = _token(after)
    return (name.lower(), after[len(value) :]) if value else ("", text)
