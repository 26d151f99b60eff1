"""rollerd's database in PostgreSQL, for those who outgrow one file.

`postgres://user:password@host:port/name?sslmode=…`, with libpq's modes and meaning: prefer (the
default), disable, require, verify-ca, verify-full, and sslrootcert; connect_timeout is in seconds,
0 waits without an end; a host that starts with a slash
(or `?host=/run/postgresql`) is a directory with the server's socket. PGPASSWORD serves where the
URL has no password.
"""

from __future__ import annotations

import itertools
import os
import socket
import ssl
from collections import deque
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from coreos_py.base.errors import WireError
from coreos_py.roller.db import pgwire
from coreos_py.roller.db.driver import DatabaseError, Late, Rejected, Row, Tx
from coreos_py.roller.db.pgwire import Message
from coreos_py.roller.db.recall import Recall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_TIMEOUT_S = 30
STATEMENT_TIMEOUT_S = 120
_UNANSWERED_MAX = 256  # what the server says to these waits in the socket's buffer
PORT = 5432
MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
_ADVISORY_LOCK = 0x726F6C6C  # several rollerds may share a database: one of them writes
# Other sessions may not read what is not committed; a reader sees one moment.
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = f"BEGIN; SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"


class _Lost(DatabaseError):
    """The connection is gone."""


class _Statement(NamedTuple):
    """What the server has prepared, and how its rows are read."""

    name: str
    reads: tuple[pgwire.Read, ...]


class Target(NamedTuple):
    """What a URL names."""

    host: str
    port: int
    user: str
    password: str
    name: str
    sslmode: str
    sslrootcert: str
    timeout_s: int = CONNECT_TIMEOUT_S

    def __str__(self) -> str:
        return f"{self.name} at {self.host}:{self.port}"


def target(url: str) -> Target:
    """Read a URL; DatabaseError, which does not show the password."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        port = int(options.pop("port", 0) or parts.port or PORT)
        timeout_s = int(options.pop("connect_timeout", CONNECT_TIMEOUT_S))
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
        max(timeout_s, 0),
    )
    if options:
        raise DatabaseError(f"the database's URL has an unknown option {next(iter(options))!r}")
    if found.sslmode not in MODES:
        raise DatabaseError(f"sslmode is one of {', '.join(MODES)}, not {found.sslmode!r}")
    return found


class Postgres:
    """A connection, which is its own Tx. Statements are prepared once and kept.

    What is sent without an answer being needed goes ahead of the next statement that needs one,
    or of the COMMIT: the server works on it meanwhile, and nobody waits for each.
    """

    dialect = "postgres"

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._target = target(url)
        self._begin = _READ if read_only else _WRITE
        self._is_open = False  # a transaction
        self._recall = Recall()
        self._connect()

    def _connect(self) -> None:
        self._inbox = pgwire.Inbox()
        self._statements: dict[str, _Statement] = {}
        self._numbers = itertools.count(1)
        self._parsing: deque[str] = deque()  # statements that the server has not prepared yet
        self._outbox = bytearray()
        self._unanswered = 0  # statements whose answers the next SYNC brings
        self._is_spoilt = False  # a transaction of which one statement has failed
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
        self._recall.wrote(sql)
        self._put(sql, params)
        return pgwire.changed(self._settle(sql)[1])

    def send(self, sql: str, *params: object) -> None:
        self._recall.wrote(sql)
        self._put(sql, params)
        if self._unanswered >= _UNANSWERED_MAX:
            self._settle()

    def one(self, sql: str, *params: object) -> Row | None:
        rows = self.all(sql, *params)
        return rows[0] if rows else None

    def all(self, sql: str, *params: object) -> list[Row]:
        rows = self._recall.find(sql, params)
        if rows is None:
            self._put(sql, params)
            rows = self._settle(sql)[0]
            self._recall.keep(sql, params, rows)
        return rows

    # -- Database

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        self._recall.forget()
        self._is_open, self._is_spoilt = True, False
        try:
            self._start()
            yield self
            self._commit()
        except BaseException:
            if self._is_open:
                with suppress(DatabaseError):  # what it was about is under way already
                    self._abandon()
                    self._simply("ROLLBACK")
            raise
        finally:
            self._is_open = False

    def _start(self) -> None:
        """BEGIN; what was cut while nothing was under way is connected again."""
        try:
            self._simply(self._begin)
        except _Lost:
            self._connect()
            self._simply(self._begin)
            self._is_open = True

    def _commit(self) -> None:
        self._put("COMMIT", ())
        if not pgwire.is_commit(self._settle("COMMIT")[1]):
            raise Late("postgres: the transaction was rolled back")

    @contextmanager
    def savepoint(self, tx: Tx) -> Iterator[None]:
        assert tx is self
        self._put("SAVEPOINT part", ())
        try:
            yield
        except BaseException:
            if self._is_open and not self._is_spoilt:
                self._settle()
                self._recall.forget()
                self._simply("ROLLBACK TO part; RELEASE part")
            raise
        self._put("RELEASE part", ())
        self._push()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.sendall(pgwire.TERMINATE)
        self._socket.close()

    # -- statements

    def _put(self, sql: str, params: tuple[object, ...]) -> None:
        """A statement for the outbox."""
        if self._is_spoilt:
            raise Late("postgres: a statement of this transaction has failed")
        known = self._statements.get(sql)
        name = known.name if known is not None else f"s{next(self._numbers)}"
        try:
            data = pgwire.execute(name, params)
        except (ValueError, UnicodeError) as err:
            raise Rejected(f"postgres: {err}") from err
        if known is None:
            self._outbox += pgwire.parse(name, _numbered(sql))
            self._parsing.append(sql)
            self._statements[sql] = _Statement(name, ())
        self._outbox += data
        self._unanswered += 1

    def _settle(self, asked: str = "") -> tuple[list[Row], bytes]:
        """Hear what became of all that was put: the rows and the end of the one `asked`, the last.

        Its faults are raised as they are, those of the others as Late.
        """
        self._outbox += pgwire.SYNC
        self._push()
        left, self._unanswered = self._unanswered, 0
        rows: list[Row] = []
        end = b""
        found: pgwire.Fault | None = None
        while True:
            kind, body = self._next()
            if kind == b"D":
                rows.append(pgwire.row(body, self._statements[asked].reads))
            elif kind == b"C":
                left, end = left - 1, body
            elif kind in (b"T", b"n"):
                self._prepared(pgwire.columns(body) if kind == b"T" else ())
            elif kind == b"E":
                found = pgwire.fault(body)
            elif kind == b"Z":
                break
        if found is not None:
            self._forget_unprepared()
            if asked and left == 1:
                raise _error(found)
            self._is_spoilt = True
            raise Late(f"postgres: {found.text} ({found.code})") from _error(found)
        return rows, end

    def _prepared(self, reads: tuple[pgwire.Read, ...]) -> None:
        sql = self._parsing.popleft()
        self._statements[sql] = self._statements[sql]._replace(reads=reads)

    def _forget_unprepared(self) -> None:
        """After a fault the server has read no further; names are not used twice."""
        while self._parsing:
            del self._statements[self._parsing.pop()]

    def _abandon(self) -> None:
        """Send nothing more of this transaction, and hear what became of the rest."""
        self._outbox.clear()
        self._forget_unprepared()
        if self._unanswered:
            self._unanswered = 0
            self._outbox += pgwire.SYNC
            self._push()
            while self._next().kind != b"Z":
                pass

    def _simply(self, sql: str) -> None:
        """Statements without parameters, when no answer is under way."""
        self._outbox += pgwire.query(sql)
        self._push()
        found: pgwire.Fault | None = None
        while (message := self._next()).kind != b"Z":
            if message.kind == b"E":
                found = pgwire.fault(message.body)
        if found is not None:
            raise _error(found)

    # -- messages

    def _push(self) -> None:
        """Let go of the outbox."""
        data = bytes(self._outbox)
        self._outbox.clear()
        try:
            self._socket.sendall(data)
        except OSError as err:
            raise self._lost(err) from err

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
        self._say(pgwire.startup(words))
        scram: pgwire.Scram | None = None
        while True:
            message = self._next()
            if message.kind == b"E":
                raise WireError(pgwire.fault(message.body).text)
            if message.kind == b"Z":
                return
            if message.kind == b"R":
                scram = self._authenticate(message.body, scram)

    def _say(self, data: bytes) -> None:
        self._outbox += data
        self._push()

    def _authenticate(self, body: bytes, scram: pgwire.Scram | None) -> pgwire.Scram | None:
        kind, rest = int.from_bytes(body[:4], "big"), body[4:]
        user, secret = self._target.user, self._target.password
        if kind == pgwire.OK:
            return scram
        if not secret:
            raise WireError(f'the server wants a password of user "{user}"')
        if kind == pgwire.CLEARTEXT:
            self._say(pgwire.password(secret))
        elif kind == pgwire.MD5:
            self._say(pgwire.password(pgwire.md5(user, secret, rest[:4])))
        elif kind == pgwire.SASL and pgwire.SCRAM.encode() in rest.split(b"\0"):
            scram = pgwire.Scram(secret, os.urandom(18).hex())
            self._say(pgwire.sasl_first(scram.first()))
        elif kind == pgwire.SASL_CONTINUE and scram is not None:
            self._say(pgwire.sasl_next(scram.final(rest)))
        elif kind == pgwire.SASL_FINAL and scram is not None:
            scram.verify(rest)
        else:
            raise WireError(f"the server's way to ask for a password ({kind}) is not known")
        return scram


def _error(found: pgwire.Fault) -> Exception:
    values = found.code[:2] in ("22", "23")  # data exceptions, constraints
    return (Rejected if values else DatabaseError)(f"postgres: {found.text} ({found.code})")


def _why(err: Exception) -> str:
    """Without the number of an OSError; errors of TLS say more than their strerror."""
    if isinstance(err, OSError) and not isinstance(err, ssl.SSLError):
        return err.strerror or str(err)
    return str(err)


def _connected(found: Target) -> socket.socket:
    if found.host.startswith("/"):
        plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            plain.settimeout(found.timeout_s or None)
            plain.connect(f"{found.host}/.s.PGSQL.{found.port}")
        except OSError:
            plain.close()
            raise
        return plain
    plain = socket.create_connection((found.host, found.port), found.timeout_s or None)
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
