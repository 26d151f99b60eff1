"""Whole stories with the Omaha handler, reply by reply: tests/data/roller/omaha-*.txt.

    server style=coreroller max=2        another server; more: safe canaries period timeout percent
    app one 1.0.0 ping check 3/2:0.9.0   machine, version, what is inside its <app>
    post [path=/omaha/]                  the body as it is on the lines below
    clock "15 minutes"
    publish 2.0.0 | point stable 2.0.0 | unpublish | pause REASON | resume
    join other                           another application with a group of this name
    standing one | group | activity | events one

What omaha-coreroller.txt expects of Omaha replies is what CoreRoller 1.0.6 answered in the same
situations.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from coreos_py.roller import interval
from coreos_py.roller.db import apps, channels, events, groups, packages
from coreos_py.roller.records import COREOS_APP, ActivityClass, App, Group, Policy, Severity
from tests.support import rollerdb, transcript

DATA = Path(__file__).resolve().parents[2] / "data" / "roller"


class Story:
    """The commands of a transcript."""

    def __init__(self, database):
        self._database = database
        self._undo = ExitStack()
        self.server = None

    def __call__(self, command):
        return getattr(self, f"do_{command.name}")(command) or ""

    def close(self):
        self._undo.close()

    @property
    def tx(self):
        return self.server.tx

    def do_server(self, command):
        self.close()
        tx = self._undo.enter_context(rollerdb.undone(self._database))
        rules = Policy(
            safe_mode=command.options.get("safe") == "yes",
            max_updates_per_period=command.number("max", default=1),
            canaries=command.number("canaries"),
            period_interval=command.options.get("period", "15 minutes"),
            update_timeout=command.options.get("timeout", "60 minutes"),
            update_percent=float(command.options.get("percent", "100")),
            office_hours="zone" in command.options,
            timezone=command.options.get("zone"),
        )
        self.server = rollerdb.Server(
            tx,
            policy=rules,
            compat=command.options.get("style") == "coreroller",
            app_id=command.options.get("app", COREOS_APP),
        )

    def do_app(self, command):
        machine, version, *inside = command.bare
        elements = [_element(word) for word in inside]
        body = (
            f'<request protocol="3.0"><app appid="{command.options.get("id", self.server.app_id)}"'
            f' version="{version}" track="{command.options.get("track", "main")}"'
            f' machineid="{"" if machine == "-" else machine}"'
            f' bootid="{command.options.get("boot", "{b}")}">{"".join(elements)}</app></request>'
        )
        response = self.server.post(body.encode())
        assert response.status == 200
        return response.body.decode()

    def do_post(self, command):
        body = "\n".join(command.body).encode()
        response = self.server.post(body, path=command.options.get("path", "/v1/update/"))
        return (
            f"{response.status} {dict(response.headers)['Content-Type']}\n{response.body.decode()}"
        )

    def do_clock(self, command):
        step = interval.parse_us(command.bare[0])
        assert step is not None
        self.server.now_us += step

    def do_publish(self, command):
        self.server.publish(command.bare[0])

    def do_point(self, command):
        name, version = command.bare
        channel = channels.by_name(self.tx, COREOS_APP, name)
        found = packages.by_version(self.tx, COREOS_APP, version)
        moved = channel._replace(package_id=found.id)
        channels.update(self.tx, moved, self.server.now_us)

    def do_join(self, command):
        name = command.bare[0]
        apps.add(self.tx, App(name, name, "", None, 1))
        groups.add(self.tx, Group(f"g-{name}", name, None, name, "", name, 1, Policy()))

    def do_unpublish(self, command):
        channel = channels.find(self.tx, "c-main")
        channels.update(self.tx, channel._replace(package_id=None), self.server.now_us)

    def do_pause(self, command):
        groups.pause(self.tx, self.server.group(), command.bare[0], self.server.now_us)

    def do_resume(self, command):
        groups.resume(self.tx, self.server.group(), self.server.now_us)

    def do_standing(self, command):
        found = self.server.standing(command.bare[0])
        status = found.status.name if found.status else "none"
        words = [status, found.version, f"granted={found.granted_version}"]
        if found.in_progress:
            words.append("in progress")
        if found.failures:
            minutes = (found.retry_us - self.server.now_us) / rollerdb.MINUTE_US
            words.append(f"failures={found.failures} retry in {minutes:g} min")
        return " ".join(words)

    def do_group(self, command):
        found = self.server.group()
        state = "updates on" if found.policy.updates_enabled else f"paused: {found.pause_reason}"
        return state + (", rollout in progress" if found.rollout_in_progress else "")

    def do_activity(self, command):
        return "\n".join(
            " ".join(
                filter(
                    None,
                    (
                        ActivityClass(item.kind).name,
                        Severity(item.severity).name,
                        item.version,
                        item.instance_id or "",
                        item.note and f"({item.note})",
                    ),
                )
            )
            for item in self.server.told()
        )

    def do_events(self, command):
        found = events.of_instance(self.tx, command.bare[0], self.server.app_id)
        return "\n".join(
            f"{item.type}/{item.result} {item.error_code} {item.previous_version}"
            + (f" ignored: {item.ignored}" if item.ignored else "")
            for item in reversed(found)
        )


def _element(word):
    """`ping`, `check`, or an event `type/result[:previousversion][!errorcode]`."""
    if word == "ping":
        return '<ping active="1"></ping>'
    if word == "check":
        return "<updatecheck></updatecheck>"
    word, _, code = word.partition("!")
    kind, colon, previous = word.partition(":")
    number, _, result = kind.partition("/")
    more = f' previousversion="{previous}"' if colon else ""
    more += f' errorcode="{code}"' if code else ""
    return f'<event eventtype="{number}" eventresult="{result}"{more}></event>'


@pytest.mark.parametrize("path", sorted(DATA.glob("omaha-*.txt")), ids=lambda path: path.stem)
def test_transcript(path, database, rewrite):
    story = Story(database)
    try:
        transcript.run_file(path, story, rewrite=rewrite)
    finally:
        story.close()
