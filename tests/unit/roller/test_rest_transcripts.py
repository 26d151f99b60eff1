"""Sessions with the REST API, byte for byte. See the heads of the files for their commands."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path

import pytest

from coreos_py.roller.call import Config
from coreos_py.roller.db import groups, instances
from coreos_py.roller.records import Instance, Standing, Status
from tests.support import transcript
from tests.support.rest_bed import ADMIN, JSON, PASSWORDS, RestBed, uuid

DATA = Path(__file__).parents[2] / "data/roller"
SECOND_US = 1_000_000
_ID = re.compile("00000000-0000-4000-8000-([0-9a-f]{12})")


@pytest.mark.parametrize(
    ("name", "compat"), [("rest-coreroller.txt", True), ("rest-json.txt", False)]
)
def test_session(tmp_path, rewrite, name, compat):
    bed = RestBed(tmp_path, Config(compat=compat))
    session = Session(bed, is_json=not compat)
    transcript.run_file(DATA / name, session.execute, rewrite=rewrite)
    bed.close()


def _path(command: transcript.Command) -> str:
    """A path with a query looks like an option."""
    queries = [f"{key}={value}" for key, value in command.options.items() if key[0] == "/"]
    return (command.bare + queries)[0]


def _short(match: re.Match[str]) -> str:
    return f"id-{int(match[1], 16)}"


def _spelled_out(text: str) -> str:
    return re.sub(r"\bid-(\d+)\b", lambda match: uuid(int(match[1])), text)


class Session:
    """Runs the commands of a transcript: requests, `wait`, and `machine` in the newest group."""

    def __init__(self, bed: RestBed, *, is_json: bool) -> None:
        self._bed = bed
        self._is_json = is_json

    def execute(self, command: transcript.Command) -> str:
        if command.name == "wait":
            self._bed.now_us += command.number("seconds") * SECOND_US
            return ""
        if command.name == "machine":
            self._machine(command.options)
            return ""
        return self._request(command)

    def _request(self, command: transcript.Command) -> str:
        who = command.options.get("as", ADMIN)
        headers = dict(JSON) if self._is_json else {}
        if who == "admin-password":
            text = f"{ADMIN}:{PASSWORDS[ADMIN]}"
            headers["Authorization"] = "Basic " + b64encode(text.encode()).decode()
        token = {ADMIN: self._bed.admin, "viewer": self._bed.viewer}.get(who, "")
        path, body = _spelled_out(_path(command)), _spelled_out("\n".join(command.body))
        answer = self._bed.ask(command.name, path, body, token=token, headers=headers)
        lines = [f"{answer.status} {answer.headers.get('Content-Type', '')}".rstrip()]
        total = answer.headers.get("X-Total-Count")
        if self._is_json and total is not None:
            lines.append(f"X-Total-Count: {total}")
        if answer.body and command.name != "HEAD":
            lines.append(_ID.sub(_short, answer.body.decode().rstrip("\n")))
        return "\n".join(lines)

    def _machine(self, options: dict[str, str]) -> None:
        bed, name, granted = self._bed, options["id"], options.get("granted")
        with bed.transaction() as tx:
            ((newest,),) = tx.all("SELECT id FROM groups ORDER BY created_us DESC, id DESC LIMIT 1")
            group = groups.find(tx, newest)
            assert group is not None
            number = len(tx.all("SELECT id FROM instance")) + 1
            now_us = bed.now_us + number
            status = Status(int(options["status"])) if "status" in options else None
            instances.put(tx, None, Instance(name, f"10.0.0.{number}", now_us))
            standing = Standing(
                name,
                group.app_id,
                group.id,
                options["version"],
                now_us,
                now_us,
                status,
                granted_us=now_us if granted else None,
                granted_version=granted,
                in_progress=granted is not None,
            )
            instances.save(tx, None, standing, now_us)
