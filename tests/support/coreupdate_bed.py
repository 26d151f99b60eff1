"""CoreUpdate's API over a database in a temporary file, with a user who signs."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from coreos_py.http import hawk
from coreos_py.roller.coreupdate import table
from coreos_py.roller.coreupdate.keys import Keys
from coreos_py.roller.db import coreupdate
from coreos_py.roller.db.coreupdate import HawkUser
from tests.support.rest_bed import START_US, Answer, RestBed

USER, KEY = "bob", "bob's key"
BASE = "/_ah/api/update/v1/"
START_S = START_US // 1_000_000


class CoreUpdateBed(RestBed):
    """The API beside REST's, with REST's users and tokens."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.rest = self.api
        self.door = table.Door(self.gate, Keys(START_S))
        self.api = table.Api(self.door)  # type: ignore[assignment]  # it routes as well
        self._nonces = itertools.count()
        with self.transaction() as tx:
            coreupdate.add_user(tx, HawkUser(USER, KEY, START_US))

    def signed(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        plain: str = "",
        host: str = "rollerd.example:8000",
        headers: dict[str, str] | None = None,
        signs: dict[str, Any] | None = None,
    ) -> Answer:
        """A signed request; `signs` replaces what is signed."""
        name, _, port = host.partition(":")
        facts: dict[str, Any] = {
            "user": USER,
            "key": KEY,
            "now_s": self.now_us // 1_000_000,
            "nonce": f"n{next(self._nonces)}",
            "method": method,
            "target": BASE + (plain or path),
            "host": name,
            "port": port or "80",
        }
        line = hawk.header(**{**facts, **(signs or {})})
        sent = {"Authorization": line, "Host": host, **(headers or {})}
        return self.ask(method, BASE + path, body, headers=sent)

    def call(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        """A signed request; what it answered, or why not."""
        answer = self.signed(method, path, body)
        assert answer.status == status, (method, path, answer)
        assert answer.headers["Content-Type"] == "application/json"
        return answer.json["error"]["message"] if status != 200 else answer.json
