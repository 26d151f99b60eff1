"""A rollerd without a process: its Omaha handler over a database, and a clock that tests turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coreos_py.http.message import Request, Response
from coreos_py.omaha import xml
from coreos_py.roller import omaha_api
from coreos_py.roller.call import Call, Config
from coreos_py.roller.db import activity, apps, channels, groups, instances, packages
from coreos_py.roller.db.driver import Database, Tx, connect
from coreos_py.roller.db.setup import prepare
from coreos_py.roller.records import (
    COREOS_APP,
    SECOND_US,
    Action,
    Activity,
    App,
    Channel,
    Group,
    Package,
    Policy,
    Standing,
)

START_US = 1_700_000_000 * SECOND_US  # a Tuesday, 22:13 UTC
OTHER_APP = "b6458005-8f40-4627-b33b-be70a718c48e"
MINUTE_US = 60 * SECOND_US
LOOSE = Policy(safe_mode=False, max_updates_per_period=1000)


def package(version: str, *, app_id: str = COREOS_APP) -> Package:
    """A package that clients can use."""
    action = Action(f"a-{app_id}-{version}", "c2hhMjU2", 1)
    name = "update.gz"
    return Package(
        f"p-{app_id}-{version}", app_id, 1, version, "http://h/p/", name, None, "5", "aGFzaA==", 1
    )._replace(action=action)


def fill(tx: Tx, *, policy: Policy, app_id: str, version: str) -> str:
    """An application (CoreOS is there already) with one group, track `main`; the group's id."""
    if app_id != COREOS_APP:
        apps.add(tx, App(app_id, app_id, "", None, 1))
    packages.add(tx, package(version, app_id=app_id))
    channels.add(tx, Channel("c-main", app_id, "main", "", f"p-{app_id}-{version}", 1))
    groups.add(tx, Group("g-main", app_id, "c-main", "Main", "", "main", 1, policy))
    return "g-main"


class Server:
    """The handler, inside one transaction that nobody commits."""

    def __init__(
        self,
        tx: Tx,
        *,
        policy: Policy = LOOSE,
        compat: bool = False,
        app_id: str = COREOS_APP,
        version: str = "2.0.0",
    ) -> None:
        self.tx = tx
        self.now_us = START_US
        self.app_id = app_id
        self.group_id = fill(tx, policy=policy, app_id=app_id, version=version)
        self.track = self.group_id if compat else "main"
        self._config = Config(compat=compat)
        self._ids = itertools.count()
        self.changed: set[tuple[str, str]] = set()

    def post(self, body: bytes, *, path: str = "/v1/update/") -> Response:
        """One request as it comes from the wire."""
        request = Request("POST", path.encode(), {}, 1)
        request.body = body
        handler = omaha_api.route(request)
        if isinstance(handler, Response):
            return handler
        assert handler is not None
        self.changed = set()
        call = Call(
            request,
            self.now_us,
            "http://rollerd:8000",
            "10.0.0.1",
            lambda: f"id-{next(self._ids)}",
            self._config,
            self.changed,
        )
        return handler(self.tx, call)

    def send(
        self,
        machine: str,
        version: str,
        *inside: str,
        track: str = "",
        boot: str = "{b}",
        app_id: str = "",
    ) -> xml.Element:
        """One `<app>` with these elements inside; the reply's `<app>`."""
        body = (
            f'<request protocol="3.0"><app appid="{app_id or self.app_id}" version="{version}"'
            f' track="{track or self.track}" machineid="{machine}" bootid="{boot}">'
            f"{''.join(inside)}</app></request>"
        )
        response = self.post(body.encode())
        assert response.status == 200
        reply = xml.parse(response.body).first("app")
        assert reply is not None
        return reply

    def check(self, machine: str, version: str = "1.0.0", **more: str) -> str:
        """Ask for an update: the version on offer, else `noupdate` or the status of the app."""
        reply = self.send(machine, version, "<updatecheck/>", **more)
        manifest = reply.first("updatecheck", "manifest")
        if manifest is not None:
            return manifest.get("version")
        answer = reply.first("updatecheck")
        return reply.get("status") if answer is None else answer.get("status")

    def event(
        self,
        machine: str,
        kind: int,
        result: int,
        *,
        version: str = "1.0.0",
        previous: str | None = None,
        code: int = 0,
    ) -> None:
        """Report one event."""
        more = "" if previous is None else f' previousversion="{previous}"'
        more += f' errorcode="{code}"' if code else ""
        line = f'<event eventtype="{kind}" eventresult="{result}"{more}/>'
        reply = self.send(machine, version, line)
        assert reply.first("event") is not None

    def run(self, machine: str, *, version: str = "1.0.0", target: str = "2.0.0") -> None:
        """A whole update of a machine, from the check to the reboot."""
        assert self.check(machine, version) == target
        for kind in (13, 14, 3):
            self.event(machine, kind, 1, version=version)
        self.event(machine, 3, 2, version=target, previous=version)
        self.check(machine, target)

    def standing(self, machine: str) -> Standing:
        """How a machine stands."""
        found = instances.standing(self.tx, machine, self.app_id)
        assert found is not None
        return found

    def group(self) -> Group:
        """The group as it is now."""
        found = groups.find(self.tx, self.group_id)
        assert found is not None
        return found

    def set_policy(self, policy: Policy) -> None:
        """Change the group's policy, as an operator does."""
        groups.update(self.tx, self.group()._replace(policy=policy), self.now_us)

    def publish(self, version: str) -> None:
        """Add a package and let the channel point to it."""
        packages.add(self.tx, package(version, app_id=self.app_id))
        channel = channels.find(self.tx, "c-main")
        assert channel is not None
        moved = channel._replace(package_id=f"p-{self.app_id}-{version}")
        channels.update(self.tx, moved, self.now_us)

    def told(self) -> list[Activity]:
        """The activity, the oldest first."""
        query = activity.Query(0, self.now_us + 1)
        return list(reversed(activity.listing(self.tx, query)))


class _Undo(Exception):
    """Ends a transaction without a commit."""


@contextmanager
def undone(database: Database) -> Iterator[Tx]:
    """A transaction that leaves nothing behind, and costs no fsync."""
    try:
        with database.transaction() as tx:
            yield tx
            raise _Undo
    except _Undo:
        pass


def fresh(directory: Path) -> Database:
    """A new database file, prepared."""
    database = connect(str(directory / "rollerd.db"))
    prepare(database, 1)
    return database
