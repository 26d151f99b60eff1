"""rollerd's database in PostgreSQL, for those who outgrow one file.

`postgres://user:password@host:port/name?sslmode=…`, with libpq's modes and meaning: prefer (the
default), disable, require, verify-ca, verify-full, and sslrootcert; a host that starts with a slash
(or `?host=/run/postgresql`) is a directory with the server's socket. PGPASSWORD serves where the
URL has no password.
"""

from __future__ import annotations

import itertools
import os
import socket
import ssl
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from coreos_py.base.errors import WireError
from coreos_py.roller.db import pgwire
from coreos_py.roller.db.driver import DatabaseError, Rejected, Row, Tx
from coreos_py.roller.db.pgwire import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_TIMEOUT_S = 30
STATEMENT_TIMEOUT_S = 120
PORT = 5432
MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
_ADVISORY_LOCK = 0x726F6C6C  # several rollerds may share a database: one of them writes
# Other sessions may not read what is not committed; a reader sees one moment.
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = f"BEGIN; SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"


class _Lost(DatabaseError):
    """The connection is gone."""


class Target(NamedTuple):
    """What a URL names."""

    host: str
    port: int
    user: str
    password: str
    name: str
    sslmode: str
    sslrootcert: str

    def __str__(self) -> str:
        return f"{self.name} at {self.host}:{self.port}"


def target(url: str) -> Target:
    """Read a URL; DatabaseError, which does not show the password."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        port = int(options.pop("port", 0) or parts.port or PORT)
    except ValueError as err:
        raise DatabaseError(f"the database's URL is wrong: {err}") from None
    user = unquote(parts.username or options.pop("user", "") or os.environ.get("USER", "postgres"))
    found = Target(
        options.pop("host", "") or unquote(parts.hostname or "") or "127.0.0.1",
        port,
        user,
        unquote(parts.password or "") or os.environ.get("PGPASSWORD", ""),
        unquote(parts.path.removeprefix("/")) or user,
        options.pop("sslmode", "prefer"),
        options.pop("sslrootcert", ""),
    )
    if options:
        raise DatabaseError(f"the database's URL has an unknown option {next(iter(options))!r}")
    if found.sslmode not in MODES:
        raise DatabaseError(f"sslmode is one of {', '.join(MODES)}, not {found.sslmode!r}")
    return found


class Postgres:
    """A connection, which is its own Tx. Statements are prepared once and kept."""

    dialect = "postgres"

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._target = target(url)
        self._begin = _READ if read_only else _WRITE
        self._is_open = False  # a transaction
        self._connect()

    def _connect(self) -> None:
        self._inbox = pgwire.Inbox()
        self._statements: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._numbers = itertools.count(1)
        try:
            self._socket = _connected(self._target)
        except (OSError, WireError) as err:
            raise DatabaseError(f"cannot open the database {self._target}: {_why(err)}") from None
        try:
            self._sign_in()
        except WireError as err:
            self._socket.close()
            raise DatabaseError(f"cannot open the database {self._target}: {_why(err)}") from None
        self._socket.settimeout(STATEMENT_TIMEOUT_S)

    # -- Tx

    def execute(self, sql: str, *params: object) -> int:
        return self._run(sql, params)[1]

    def one(self, sql: str, *params: object) -> Row | None:
        rows = self._run(sql, params)[0]
        return rows[0] if rows else None

    def all(self, sql: str, *params: object) -> list[Row]:
        return self._run(sql, params)[0]

    # -- Database

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        self._is_open = True
        try:
            self._start()
            yield self
            self._is_open = False
            self._simply("COMMIT")
        except BaseException:
            if self._is_open:
                self._is_open = False
                with suppress(DatabaseError):  # what it was about is under way already
                    self._simply("ROLLBACK")
            raise

    def _start(self) -> None:
        """BEGIN; what was cut while nothing was under way is connected again."""
        try:
            self._simply(self._begin)
        except _Lost:
            self._connect()
            self._simply(self._begin)
            self._is_open = True

    @contextmanager
    def savepoint(self, tx: Tx) -> Iterator[None]:
        assert tx is self
        self._simply("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self._simply("ROLLBACK TO part; RELEASE part")
            raise
        self._simply("RELEASE part")

    def close(self) -> None:
        with suppress(OSError):
            self._socket.sendall(pgwire.TERMINATE)
        self._socket.close()

    # -- statements

    def _run(self, sql: str, params: tuple[object, ...]) -> tuple[list[Row], int]:
        try:
            name, types = self._statements.get(sql) or self._prepare(sql)
            self._send(pgwire.execute(name, params))
        except (ValueError, UnicodeError) as err:
            raise Rejected(f"postgres: {err}") from err
        rows: list[Row] = []
        count = 0
        for message in self._until_ready():
            if message.kind == b"D":
                rows.append(pgwire.row(message.body, types))
            elif message.kind == b"C":
                count = pgwire.changed(message.body)
        return rows, count

    def _prepare(self, sql: str) -> tuple[str, tuple[int, ...]]:
        name = f"s{next(self._numbers)}"
        self._send(pgwire.parse(name, _numbered(sql)) + pgwire.SYNC)
        types: tuple[int, ...] = ()
        for message in self._until_ready():
            if message.kind == b"T":
                types = pgwire.columns(message.body)
        self._statements[sql] = (name, types)
        return name, types

    def _simply(self, sql: str) -> None:
        self._send(pgwire.query(sql))
        for _ in self._until_ready():
            pass

    # -- messages

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as err:
            raise self._lost(err) from err

    def _until_ready(self) -> Iterator[Message]:
        """The answers up to ReadyForQuery; the fault among them is raised when it is safe to."""
        found: pgwire.Fault | None = None
        while True:
            message = self._next()
            if message.kind == b"E":
                found = pgwire.fault(message.body)
            elif message.kind == b"Z":
                break
            else:
                yield message
        if found is not None:
            values = found.code[:2] in ("22", "23")  # data exceptions, constraints
            kind = Rejected if values else DatabaseError
            raise kind(f"postgres: {found.text} ({found.code})")

    def _next(self) -> Message:
        try:
            while (message := self._inbox.take()) is None:
                data = self._socket.recv(1 << 16)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                self._inbox.feed(data)
        except (OSError, WireError) as err:
            raise self._lost(err) from err
        return message

    def _lost(self, err: Exception) -> _Lost:
        self._is_open = False
        self._socket.close()
        return _Lost(f"postgres: {self._target}: {_why(err)}")

    # -- signing in

    def _sign_in(self) -> None:
        words = {"user": self._target.user, "database": self._target.name}
        words |= {"client_encoding": "UTF8", "application_name": "rollerd"}
        self._send(pgwire.startup(words))
        scram: pgwire.Scram | None = None
        while True:
            message = self._next()
            if message.kind == b"E":
                raise WireError(pgwire.fault(message.body).text)
            if message.kind == b"Z":
                return
            if message.kind == b"R":
                scram = self._authenticate(message.body, scram)

    def _authenticate(self, body: bytes, scram: pgwire.Scram | None) -> pgwire.Scram | None:
        kind, rest = int.from_bytes(body[:4], "big"), body[4:]
        user, secret = self._target.user, self._target.password
        if kind == pgwire.OK:
            return scram
        if not secret:
            raise WireError(f'the server wants a password of user "{user}"')
        if kind == pgwire.CLEARTEXT:
            self._send(pgwire.password(secret))
        elif kind == pgwire.MD5:
            self._send(pgwire.password(pgwire.md5(user, secret, rest[:4])))
        elif kind == pgwire.SASL and pgwire.SCRAM.encode() in rest.split(b"\0"):
            scram = pgwire.Scram(secret, os.urandom(18).hex())
            self._send(pgwire.sasl_first(scram.first()))
        elif kind == pgwire.SASL_CONTINUE and scram is not None:
            self._send(pgwire.sasl_next(scram.final(rest)))
        elif kind == pgwire.SASL_FINAL and scram is not None:
            scram.verify(rest)
        else:
            raise WireError(f"the server's way to ask for a password ({kind}) is not known")
        return scram


def _why(err: Exception) -> str:
    """Without the number of an OSError; errors of TLS say more than their strerror."""
    if isinstance(err, OSError) and not isinstance(err, ssl.SSLError):
        return err.strerror or str(err)
    return str(err)


def _connected(found: Target) -> socket.socket:
    if found.host.startswith("/"):
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            plain.settimeout(CONNECT_TIMEOUT_S)
            plain.connect(f"{found.host}/.s.PGSQL.{found.port}")
        except OSError:
            plain.close()
            raise
        return plain
    plain = socket.create_connection((found.host, found.port), CONNECT_TIMEOUT_S)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plain if found.sslmode == "disable" else _guarded(plain, found)
    except BaseException:
        plain.close()
        raise


def _guarded(plain: socket.socket, found: Target) -> socket.socket:
    plain.sendall(pgwire.SSL_REQUEST)
    if plain.recv(1) == b"S":
        return _context(found).wrap_socket(plain, server_hostname=found.host)
    if found.sslmode != "prefer":
        raise WireError("the server does not speak TLS")
    return plain


def _context(found: Target) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=found.sslrootcert or None)
    context.check_hostname = found.sslmode == "verify-full"
    if found.sslmode not in ("verify-ca", "verify-full"):
        context.verify_mode = ssl.CERT_NONE
    return context


def _numbered(sql: str) -> str:
    """`?` as `$1`, `$2`, …; our statements have no other question marks."""
    first, *rest = sql.split("?")
    return first + "".join(f"${number}{text}" for number, text in enumerate(rest, 1))
