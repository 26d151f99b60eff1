"""Event streams: changes that come together are told together, and slow readers catch up."""

from __future__ import annotations

import asyncio
import json

import pytest

from coreos_py.roller import stream as module
from coreos_py.roller.service import told_by
from coreos_py.roller.stream import Stream
from tests.support.awaiting import until


class FakeReply:
    def __init__(self):
        self.text = ""
        self.buffered = 0
        self.ended = False
        self.answer = None
        self.gone = []

    def on_close(self, callback):
        self.gone.append(callback)

    def start(self, status, headers):
        assert status == 200
        assert dict(headers)["Content-Type"] == "text/event-stream"

    def write(self, data):
        self.text += data.decode()

    def end(self):
        self.ended = True

    def complete(self, response):
        self.answer = response

    def changes(self):
        lines = [line for line in self.text.splitlines() if line.startswith("data: ")]
        return [json.loads(line.removeprefix("data: ")) for line in lines]


def run(scenario):
    async def main():
        stream = Stream()
        try:
            async with asyncio.timeout(240):
                await scenario(stream)
        finally:
            stream.close()

    asyncio.run(main())


def test_what_comes_together_is_one_event_for_each_application():
    async def scenario(stream):
        one, two = FakeReply(), FakeReply()
        stream.subscribe(one)
        stream.subscribe(two)
        for _ in range(1000):
            stream.changed({("instance", "a"), ("group", "a")})
            stream.changed({("lock", "")})
        await until(lambda: len(two.changes()) == 2, "the events")
        assert one.changes() == two.changes()
        assert one.changes() == [
            {"kinds": ["lock"], "app": ""},
            {"kinds": ["group", "instance"], "app": "a"},
        ]

    run(scenario)


def test_nobody_listens_nothing_is_kept():
    async def scenario(stream):
        stream.changed({("instance", "a")})
        late = FakeReply()
        stream.subscribe(late)
        stream.changed({("group", "b")})
        await until(lambda: late.changes(), "an event")
        assert late.changes() == [{"kinds": ["group"], "app": "b"}]

    run(scenario)


def test_who_lags_behind_is_told_to_look_again():
    async def scenario(stream):
        slow, quick = FakeReply(), FakeReply()
        stream.subscribe(slow)
        stream.subscribe(quick)
        slow.buffered = module.BACKLOG_MAX + 1
        stream.changed({("instance", "a")})
        await until(lambda: quick.changes(), "an event")
        assert slow.changes() == []
        slow.buffered = 0
        stream.changed({("group", "b")})
        await until(lambda: slow.changes(), "an event")
        assert slow.changes() == [{}]

    run(scenario)


def test_heartbeats_and_ends(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(module, "AGE_MAX_S", 0.5)

    async def scenario(stream):
        reply = FakeReply()
        stream.subscribe(reply)
        await until(lambda: reply.text.count(": beat\n\n") > 2, "beats")
        await until(lambda: reply.ended, "its end of age")
        assert stream.listeners == 0
        gone = FakeReply()
        stream.subscribe(gone)
        gone.gone[0]()
        assert stream.listeners == 0

    run(scenario)


def test_there_is_a_limit(monkeypatch):
    monkeypatch.setattr(module, "SUBSCRIBERS_MAX", 2)

    async def scenario(stream):
        replies = [FakeReply() for _ in range(3)]
        for reply in replies:
            stream.subscribe(reply)
        assert [reply.answer and reply.answer.status for reply in replies] == [None, None, 503]
        stream.close()
        assert [reply.ended for reply in replies] == [True, True, False]

    run(scenario)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/apps", ("app", "")),
        ("/api/apps/a%20b", ("app", "a b")),
        ("/api/apps/a/groups", ("group", "a")),
        ("/api/apps/a/groups/g/pause", ("group", "a")),
        ("/api/apps/a/packages/p/payload", ("package", "a")),
        ("/api/apps/a/channels/c", ("channel", "a")),
        ("/api/tokens/t", ("token", "")),
        ("/api/instances/i", ("instance", "")),
        ("/api/locks/x/unlock", ("lock", "")),
    ],
)
def test_what_a_write_to_a_path_changes(path, expected):
    assert told_by(path) == {expected, ("activity", "")}


def test_other_paths_change_nothing_that_is_shown():
    assert told_by("/v1/update/") == set()
