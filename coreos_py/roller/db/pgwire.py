"""PostgreSQL's protocol 3.0 as bytes: what a client says, and how it reads the answers. Pure.

Mirrors the chapter "Frontend/Backend Protocol" of PostgreSQL's manual, as far as statements with
parameters in text form need it; passwords go as SCRAM-SHA-256 (RFC 7677), MD5 or in clear.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from coreos_py.base.errors import WireError

Read: TypeAlias = Callable[[bytes], Any]

PROTOCOL = 196_608  # 3.0
SSL_REQUEST = struct.pack("!ii", 8, 80_877_103)
MESSAGE_MAX = 1 << 28

OK, CLEARTEXT, MD5, SASL, SASL_CONTINUE, SASL_FINAL = 0, 3, 5, 10, 11, 12
SCRAM = "SCRAM-SHA-256"
_ITERATIONS_MAX = 1_000_000


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
        self._buffer = b""
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Bytes from the socket."""
        self._buffer = self._buffer[self._at :] + data
        self._at = 0

    def take(self) -> Message | None:
        """The next whole message; WireError."""
        at, buffer = self._at, self._buffer
        if len(buffer) < at + 5:
            return None
        size = int.from_bytes(buffer[at + 1 : at + 5], "big")
        if not 4 <= size <= MESSAGE_MAX:
            raise WireError(f"a message of {size} bytes is not PostgreSQL's")
        end = at + 1 + size
        if len(buffer) < end:
            return None
        self._at = end
        return Message(buffer[at : at + 1], buffer[at + 5 : end])


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
    """Run a prepared statement to its end; what it answers comes with the next SYNC's."""
    values = b"".join(_value(param) for param in params)
    formats = struct.pack("!h", 0)  # text, in both directions
    bind = b"\0" + _text(name) + formats + struct.pack("!h", len(params)) + values + formats
    return _message(b"B", bind) + _message(b"E", b"\0" + struct.pack("!i", 0))


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


def columns(body: bytes) -> tuple[Read, ...]:
    """How to read each of a RowDescription's columns."""
    count, at = int.from_bytes(body[:2], "big"), 2
    found = []
    for _ in range(count):
        at = body.index(b"\0", at) + 1
        kind = int.from_bytes(body[at + 6 : at + 10], "big")
        found.append(_READ.get(kind, bytes.decode))
        at += 18
    return tuple(found)


def row(body: bytes, reads: tuple[Read, ...]) -> tuple[Any, ...]:
    """The values of a DataRow."""
    at = 2
    values: list[Any] = []
    for read in reads:
        (size,) = _SIZE.unpack_from(body, at)
        at += 4
        if size < 0:
            values.append(None)
            continue
        values.append(read(body[at : at + size]))
        at += size
    return tuple(values)


def _number(data: bytes) -> float | int:
    return float(data) if b"." in data else int(data)


def _flag(data: bytes) -> bool:
    return data == b"t"


_SIZE = struct.Struct("!i")
_READ: dict[int, Read] = {
    **dict.fromkeys((20, 21, 23, 26), int),
    **dict.fromkeys((700, 701), float),
    1700: _number,
    16: _flag,
}


def changed(body: bytes) -> int:
    """How many rows a CommandComplete tells of: `INSERT 0 1`, `UPDATE 3`."""
    word = body.rstrip(b"\0").rpartition(b" ")[2]
    return int(word) if word.isdigit() else -1


def is_commit(body: bytes) -> bool:
    """Whether a CommandComplete tells of a commit: after a failure COMMIT answers ROLLBACK."""
    return body == b"COMMIT\0"


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
