"""rollerd's REST API over a database in a temporary file, without a server around it.

Runs handlers as the worker does: each in a savepoint, reads through a read-only connection.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from coreos_py.http.message import Request, Response
from coreos_py.roller import auth
from coreos_py.roller.call import Call, Config, Handler, LookFirst, Undo
from coreos_py.roller.db import people
from coreos_py.roller.db.driver import Database, connect
from coreos_py.roller.db.setup import prepare
from coreos_py.roller.records import Session, User
from coreos_py.roller.rest.api import Api
from coreos_py.roller.rest.gate import READS, Gate

COREOS = "e96281a6-d1af-4bde-9a0a-97b76e56dc57"
STABLE = "9a2deb70-37be-4026-853f-bfdd6b347bbe"
ADMIN = "admin"
VIEWER = "viewer"
PASSWORDS = {ADMIN: "admin password", VIEWER: "viewer password"}
START_US = 1_800_000_000_000_000
JSON = {"Accept": "application/json", "Content-Type": "application/json"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class RestBed:
    """The API, its users and its clock. `admin` and `viewer` are tokens, `sessions` cookies."""

    def __init__(self, directory: Path, config: Config | None = None) -> None:
        self.path = str(directory / "rollerd.db")
        self.config = config or Config()
        self.now_us = START_US
        self._ids = itertools.count(1)
        self._random = itertools.count(1)
        self.gate = Gate(self._bytes)
        self.api = Api(self.gate)
        self._writer = connect(self.path)
        prepare(self._writer, self.now_us)
        self._reader = connect(self.path, read_only=True)
        with self._writer.transaction() as tx:
            for name, password in PASSWORDS.items():
                people.add_user(tx, User(name, _hash(password), name, self.now_us))
            ends_us = self.now_us + auth.SESSION_S * 1_000_000
            for name in PASSWORDS:
                session = Session(auth.digest(name), name, name, self.now_us, ends_us)
                people.add_session(tx, session)
        self.sessions = {name: f"{auth.COOKIE}={name}" for name in PASSWORDS}
        self.admin = self._token("admin")
        self.viewer = self._token("viewer")

    def close(self) -> None:
        """Let go of the database."""
        self._reader.close()
        self._writer.close()

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str = "",
        headers: Mapping[str, str] | None = None,
        peer: str = "192.0.2.1",
    ) -> Answer:
        """One request; a body that is no text is sent as JSON."""
        sent = {"Host": "rollerd.example:8000", **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        encoded = {name.lower().encode(): text.encode("latin-1") for name, text in sent.items()}
        request = Request(method, path.encode("utf-8", "surrogateescape"), encoded, 1)
        request.body = _encoded(body)
        call = Call(
            request,
            self.now_us,
            "http://rollerd.example:8000",
            peer,
            self._new_id,
            self.config,
            set(),
        )
        response = self._run(call)
        assert isinstance(response.headers, (tuple, list))
        return Answer(response.status, dict(response.headers), response.body)

    def json(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        """A request of an admin's program that accepts JSON; what it answered."""
        answer = self.ask(method, path, body, token=self.admin, headers=JSON)
        assert answer.status == status, (method, path, answer)
        return answer.json if answer.body else None

    def dump(self) -> list[str]:
        """The whole database as text."""
        with closing(sqlite3.connect(self.path)) as connection:
            return list(connection.iterdump())

    def transaction(self) -> Any:
        """For tests that write past the API."""
        return self._writer.transaction()

    def _run(self, call: Call) -> Response:
        found = self.api.route(call.request)
        if found is None:
            return Response(404)
        if isinstance(found, Response):
            return found
        if not isinstance(found, LookFirst):
            is_read = call.request.method in READS
            return self._handle(self._reader if is_read else self._writer, found, call)
        response = self._handle(self._reader, found.look, call)
        return response if response.status != 200 else self._handle(self._writer, found.write, call)

    @staticmethod
    def _handle(database: Database, handler: Handler, call: Call) -> Response:
        with database.transaction() as tx:
            try:
                with database.savepoint(tx):
                    return handler(tx, call)
            except Undo as undo:
                return undo.response

    def _token(self, role: str) -> str:
        answer = self.ask(
            "POST",
            "/api/tokens",
            {"name": role, "role": role},
            headers={**JSON, "Cookie": self.sessions[ADMIN], "Sec-Fetch-Site": "same-origin"},
        )
        assert answer.status == 200, answer
        return str(answer.json["token"])

    def _new_id(self) -> str:
        return uuid(next(self._ids))

    def _bytes(self, count: int) -> bytes:
        return next(self._random).to_bytes(count, "big")


def uuid(number: int) -> str:
    """The id of what was made as this one since the beginning."""
    return f"00000000-0000-4000-8000-{number:012x}"


@cache
def _hash(password: str) -> str:
    return auth.hash_password(password, bytes(auth.SALT_BYTES))


def _encoded(body: object) -> bytes:
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode("utf-8", "surrogatepass")
