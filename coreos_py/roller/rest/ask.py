"""One request to the REST API as its handlers see it: parts of the path, query, body, answers.

Two kinds of clients are answered. Those of CoreRoller get what it sent: JSON as text/plain, a bare
`Bad Request`, 404 for an empty list. Who accepts application/json gets that, reasons, and [].
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol, TypeVar
from urllib.parse import parse_qs

from coreos_py.base import gojson, gotime
from coreos_py.http.message import REASONS, Request, Response, error_body
from coreos_py.roller.auth import VIEWER, Principal
from coreos_py.roller.call import Call, Undo
from coreos_py.roller.records import Invalid
from coreos_py.roller.rest import fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from coreos_py.roller.rest.gate import Gate

JSON = "application/json"
PER_PAGE = 500
_PLAIN = ("Content-Type", "text/plain; charset=utf-8")
_UUID = re.compile(r"\{?([0-9a-f]{4}(?:-?[0-9a-f]{4}){7})\}?")
_DIGITS = re.compile(r"[0-9]+")
_LONGEST = 1000
_INT32_MAX = (1 << 31) - 1
_INT64_MAX = (1 << 63) - 1
_UINT64_MAX = (1 << 64) - 1
_SAFE = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
ANONYMOUS = Principal("", VIEWER, "")


class _OfApp(Protocol):
    @property
    def app_id(self) -> str: ...


T = TypeVar("T")
R = TypeVar("R", bound=_OfApp)


class Page(NamedTuple):
    """Which part of a list."""

    limit: int
    offset: int


class Ask:
    """A request whose sender may make it; `who` is ANONYMOUS where nobody has to sign in."""

    __slots__ = ("call", "gate", "is_json", "params", "query", "who")

    def __init__(self, call: Call, params: Mapping[str, str], who: Principal, gate: Gate) -> None:
        self.call = call
        self.gate = gate
        self.params = params
        self.who = who
        self.is_json = wants_json(call)
        query = call.request.query.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.query = parse_qs(query, keep_blank_values=True, errors="replace")

    # -- what is asked for ------

    def id(self, name: str) -> str:
        """A uuid in the path, however it is written."""
        found = canonical_uuid(self.params[name])
        if found is None:
            self.refuse(400, f"{self.params[name]!r} is no uuid")
        return found

    def uuid(self, name: str) -> str:
        """A uuid in the query, "" if it is not there."""
        value = self.text(name)
        found = canonical_uuid(value) if value else ""
        if found is None:
            self.refuse(400, f"{name}={value!r} is no uuid")
        return found

    def text(self, name: str) -> str:
        """The first value of the query."""
        value = self.query.get(name, [""])[0]
        if "\0" in value:
            self.refuse(400, f"{name} has a null character")
        return value

    def number(self, name: str, *, most: int = _INT32_MAX) -> int:
        """A number in the query; what is none counts as 0, as in CoreRoller."""
        value = self.text(name)
        if not _DIGITS.fullmatch(value):
            return 0
        return min(int(value), most) if len(value) < _LONGEST else most

    def moment_us(self, name: str) -> int | None:
        """A time in the query; what is none counts as absent, as in CoreRoller."""
        try:
            return gotime.parse_ns(self.text(name)) // 1000
        except ValueError:
            return None

    def choice(self, name: str, among: Sequence[str]) -> str:
        """A word in the query, the first of them where it is absent."""
        value = self.text(name) or among[0]
        if value not in among:
            self.refuse(400, f"{name} must be one of {', '.join(among)}, not {value!r}")
        return value

    def page(self) -> Page:
        """The part of a list that `page` and `perpage` name."""
        number = self.number("page", most=_UINT64_MAX) or 1
        limit = self.number("perpage", most=_UINT64_MAX) or PER_PAGE
        if limit > _INT64_MAX or (number - 1) * limit > _INT64_MAX:
            self.refuse(400, "page or perpage is too large")
        return Page(limit, (number - 1) * limit)

    def body(self, spec: fields.Spec) -> dict[str, Any]:
        """The fields that the body sets."""
        try:
            return fields.read(self.call.request.body, spec, strict=self.is_json)
        except fields.BadBody as error:
            self.refuse(400, error.message)

    def reference(self, name: str, value: str | None) -> str | None:
        """The uuid in a field of the body; none is written null, or "" by forms."""
        if value is None or (value == "" and self.is_json):
            return None
        found = canonical_uuid(value)
        if found is None:
            self.refuse(400, f"field {name}: {value!r} is no uuid")
        return found

    @contextmanager
    def rules(self) -> Iterator[None]:
        """What the rules do not allow inside is refused."""
        try:
            yield
        except Invalid as error:
            self.refuse(400, error.message)

    # -- what there is ------

    def of_app(self, record: R | None) -> R | None:
        """The record, if the path's application has it; CoreRoller did not compare."""
        if record is None or self.call.config.compat or record.app_id == self.id("app"):
            return record
        return None

    def found(self, what: str, record: T | None) -> T:
        """The record to show."""
        if record is None:
            self.refuse(404, f"there is no such {what}")
        return record

    def to_change(self, what: str, record: T | None) -> T:
        """The record to change; CoreRoller's clients hear 400 if it is not there."""
        if record is None:
            self.refuse(404 if self.is_json else 400, f"there is no such {what}")
        return record

    # -- answers ------

    def ok(self, value: object) -> Response:
        """200 with this as JSON."""
        return self._json(200, value)

    def rows(self, rows: Sequence[object], total: int) -> Response:
        """A part of a list of `total`."""
        if not rows and not self.is_json:
            self.refuse(404, "there is nothing in this list")
        return self._json(200, rows, ("X-Total-Count", str(total)))

    def done(self, *headers: tuple[str, str]) -> Response:
        """204."""
        content = () if self.is_json else (_PLAIN,)
        return Response(204, (*content, *_SAFE, *headers))

    def refuse(self, status: int, reason: str) -> NoReturn:
        """End the handler; whatever it wrote is taken back."""
        raise Undo(refusal(self.call, status, reason))

    def _json(self, status: int, value: object, *headers: tuple[str, str]) -> Response:
        content = ("Content-Type", JSON) if self.is_json else _PLAIN
        body = gojson.dumps(value).encode() + b"\n"
        return Response(status, (content, *_SAFE, *headers), body)


def wants_json(call: Call) -> bool:
    """Whether the client is one of ours rather than CoreRoller's, whose pages accept JSON too."""
    accepted = call.request.get("Accept")
    return accepted == JSON if call.config.compat else JSON in accepted


def refusal(call: Call, status: int, reason: str, *headers: tuple[str, str]) -> Response:
    """An answer that says no, with the reason for those who can read it."""
    if wants_json(call):
        body = gojson.dumps({"error": reason}).encode() + b"\n"
        return Response(status, (("Content-Type", JSON), *_SAFE, *headers), body)
    return Response(status, (_PLAIN, *_SAFE, *headers), REASONS[status].encode() + b"\n")


def too_large(request: Request) -> Response:
    """The answer to a body that is not read to its end."""
    if JSON in request.get("Accept"):
        body = gojson.dumps({"error": "the body is too large"}).encode() + b"\n"
        return Response(413, (("Content-Type", JSON), *_SAFE), body)
    return Response(413, (_PLAIN, *_SAFE), error_body(413) + b"\n")


def canonical_uuid(text: str) -> str | None:
    """The uuid as Postgres prints what it would read; None if it would not."""
    match = _UUID.fullmatch(text.lower())
    if match is None or text.startswith("{") != text.endswith("}"):
        return None
    digits = match[1].replace("-", "")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
