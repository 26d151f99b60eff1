"""PostgreSQL's protocol 3.0 as bytes: what a client says, and how it reads the answers. Pure.

Mirrors the chapter "Frontend/Backend Protocol" of PostgreSQL's manual, as far as statements with
parameters in text form need it; passwords go as SCRAM-SHA-256 (RFC 7677), MD5 or in clear.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import struct
from typing import Any, NamedTuple

from coreos_py.base.errors import WireError

PROTOCOL = 196_608  # 3.0
SSL_REQUEST = struct.pack("!ii", 8, 80_877_103)
MESSAGE_MAX = 1 << 28

OK, CLEARTEXT, MD5, SASL, SASL_CONTINUE, SASL_FINAL = 0, 3, 5, 10, 11, 12
SCRAM = "SCRAM-SHA-256"
_ITERATIONS_MAX = 1_000_000

_INTEGERS = frozenset({20, 21, 23, 26})
_FLOATS = frozenset({700, 701})
_BOOLEAN, _NUMERIC = 16, 1700


class Message(NamedTuple):
    """One message of the server."""

    kind: bytes
    body: bytes


class Fault(NamedTuple):
    """An ErrorResponse."""

    severity: str
    code: str  # SQLSTATE
    text: str


class Inbox:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Bytes from the socket."""
        self._buffer += data

    def take(self) -> Message | None:
        """The next whole message; WireError."""
        if len(self._buffer) < 5:
            return None
        size = int.from_bytes(self._buffer[1:5], "big")
        if not 4 <= size <= MESSAGE_MAX:
            raise WireError(f"a message of {size} bytes is not PostgreSQL's")
        if len(self._buffer) < size + 1:
            return None
        message = Message(bytes(self._buffer[:1]), bytes(self._buffer[5 : size + 1]))
        del self._buffer[: size + 1]
        return message


# -- what the client says


def startup(parameters: dict[str, str]) -> bytes:
    """The first message: who connects to what."""
    words = b"".join(_text(word) for pair in parameters.items() for word in pair)
    body = struct.pack("!i", PROTOCOL) + words + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def query(sql: str) -> bytes:
    """One or more statements without parameters."""
    return _message(b"Q", _text(sql))


def parse(name: str, sql: str) -> bytes:
    """Prepare a statement, and ask for the columns it answers."""
    prepare = _message(b"P", _text(name) + _text(sql) + struct.pack("!h", 0))
    return prepare + _message(b"D", b"S" + _text(name))


def execute(name: str, params: tuple[object, ...]) -> bytes:
    """Run a prepared statement to its end."""
    values = b"".join(_value(param) for param in params)
    formats = struct.pack("!h", 0)  # text, in both directions
    bind = b"\0" + _text(name) + formats + struct.pack("!h", len(params)) + values + formats
    return _message(b"B", bind) + _message(b"E", b"\0" + struct.pack("!i", 0)) + SYNC


def password(text: str) -> bytes:
    """The password, in clear or as md5()."""
    return _message(b"p", _text(text))


def md5(user: str, secret: str, salt: bytes) -> str:
    """The password as the server wants it hashed."""
    inner = hashlib.md5((secret + user).encode(), usedforsecurity=False).hexdigest()
    outer = hashlib.md5(inner.encode() + salt, usedforsecurity=False)
    return f"md5{outer.hexdigest()}"


def sasl_first(first: bytes) -> bytes:
    """Start SCRAM."""
    return _message(b"p", _text(SCRAM) + struct.pack("!i", len(first)) + first)


def sasl_next(data: bytes) -> bytes:
    """Continue it."""
    return _message(b"p", data)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


SYNC = _message(b"S", b"")
TERMINATE = _message(b"X", b"")


def _text(text: str) -> bytes:
    if "\0" in text:
        raise ValueError("PostgreSQL keeps no text with a NUL in it")
    return text.encode() + b"\0"


def _value(param: object) -> bytes:
    if param is None:
        return struct.pack("!i", -1)
    data = _text(param)[:-1] if isinstance(param, str) else str(param).encode()
    return struct.pack("!i", len(data)) + data


# -- what the server answers


def fault(body: bytes) -> Fault:
    """The fields of an ErrorResponse."""
    fields = {}
    for item in body.split(b"\0"):
        if item:
            fields[item[:1]] = item[1:].decode("utf-8", "replace")
    text = " ".join(fields.get(b"M", "unknown error").split())
    return Fault(fields.get(b"V", fields.get(b"S", "")), fields.get(b"C", ""), text)


def columns(body: bytes) -> tuple[int, ...]:
    """The types of a RowDescription's columns."""
    count, at = int.from_bytes(body[:2], "big"), 2
    types = []
    for _ in range(count):
        at = body.index(b"\0", at) + 1
        types.append(int.from_bytes(body[at + 6 : at + 10], "big"))
        at += 18
    return tuple(types)


def row(body: bytes, types: tuple[int, ...]) -> tuple[Any, ...]:
    """The values of a DataRow."""
    at = 2
    values: list[Any] = []
    for kind in types:
        size = int.from_bytes(body[at : at + 4], "big", signed=True)
        at += 4
        if size < 0:
            values.append(None)
            continue
        values.append(_read(body[at : at + size], kind))
        at += size
    return tuple(values)


def _read(data: bytes, kind: int) -> Any:
    if kind in _INTEGERS:
        return int(data)
    if kind in _FLOATS:
        return float(data)
    if kind == _NUMERIC:
        return float(data) if b"." in data else int(data)
    if kind == _BOOLEAN:
        return data == b"t"
    return data.decode()


def changed(body: bytes) -> int:
    """How many rows a CommandComplete tells of: `INSERT 0 1`, `UPDATE 3`."""
    word = body.rstrip(b"\0").rpartition(b" ")[2]
    return int(word) if word.isdigit() else -1


# -- SCRAM


class Scram:
    """The client's half of SCRAM-SHA-256; the nonce is the caller's to make."""

    def __init__(self, secret: str, nonce: str) -> None:
        self._secret = secret.encode()
        self._nonce = nonce
        self._signature = b""

    def first(self) -> bytes:
        """What is said first; the server knows the user already."""
        return b"n,," + self._bare()

    def final(self, challenge: bytes) -> bytes:
        """The proof that the password is known."""
        words = _attributes(challenge)
        try:
            salt = binascii.a2b_base64(words["s"])
            iterations, nonce = int(words["i"]), words["r"]
        except (KeyError, ValueError):
            raise WireError("the server's challenge is not SCRAM's") from None
        if not nonce.startswith(self._nonce) or not 0 < iterations <= _ITERATIONS_MAX:
            raise WireError("the server's challenge is not for this client")
        salted = hashlib.pbkdf2_hmac("sha256", self._secret, salt, iterations)
        key = _hmac(salted, b"Client Key")
        said = f"c=biws,r={nonce}".encode()
        everything = b",".join((self._bare(), challenge, said))
        mask = _hmac(hashlib.sha256(key).digest(), everything)
        self._signature = _hmac(_hmac(salted, b"Server Key"), everything)
        proof = bytes(a ^ b for a, b in zip(key, mask, strict=True))
        return said + b",p=" + binascii.b2a_base64(proof, newline=False)

    def verify(self, data: bytes) -> None:
        """The server has to know it too; WireError."""
        try:
            signature = binascii.a2b_base64(_attributes(data).get("v", ""))
        except ValueError:
            signature = b""
        if not self._signature or not hmac.compare_digest(signature, self._signature):
            raise WireError("the server does not know the password")

    def _bare(self) -> bytes:
        return f"n=,r={self._nonce}".encode()


def _attributes(data: bytes) -> dict[str, str]:
    pairs = (item.partition("=") for item in data.decode("ascii", "replace").split(","))
    return {name: value for name, _, value in pairs}


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
