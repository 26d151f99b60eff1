"""Messages that go to a peer as single POSTs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from coreos_py.etcd.peer import POST_QUEUE, POST_WORKERS, PeerStatus, Pipeline
from coreos_py.http.client import TransportError
from coreos_py.http.reply import Reply
from coreos_py.raft.types import Message, MsgType, Snapshot, SnapshotMeta

NUMBER = 7
HEARTBEAT = Message(MsgType.HEARTBEAT, NUMBER, 1, 1)
SNAPSHOT = Message(
    MsgType.SNAP, NUMBER, 1, 1, snapshot=Snapshot(data=b"{}", meta=SnapshotMeta(9, 1, (1, 7)))
)


class Hub:
    """The transport around a pipeline; its client answers when the test says so."""

    def __init__(self):
        self.asked = []
        self.reported = []
        self.sent = SimpleNamespace(sent=lambda *_a, **_k: None, failed=lambda *_a, **_k: None)
        self.client = self
        self.cluster_id = 1

    async def request(self, *_words, **_options):
        answer = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        return await answer

    def headers(self):
        return []

    def on_snapshot_sent(self, number, *, ok):
        self.reported.append((number, ok))

    def on_unreachable(self, number):
        pass


def pipeline(hub):
    picker = SimpleNamespace(pick=lambda: "http://127.0.0.1:1", unreachable=lambda _url: None)
    return Pipeline(hub, NUMBER, picker=picker, status=PeerStatus(NUMBER), stats=None)


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_message_that_comes_while_all_workers_finish_is_sent():
    async def main():
        hub = Hub()
        pipe = pipeline(hub)
        for _ in range(POST_WORKERS):
            assert pipe.send(HEARTBEAT)
        await turns()
        assert len(hub.asked) == POST_WORKERS
        for answer in hub.asked:
            answer.set_result(Reply(204, {}, b""))
        # In the same turn of the loop, after the workers have looked and found nothing left.
        asyncio.get_running_loop().call_soon(pipe.send, SNAPSHOT)
        await turns()
        assert len(hub.asked) == POST_WORKERS + 1
        hub.asked[-1].set_result(Reply(204, {}, b""))
        await turns()
        assert hub.reported == [(NUMBER, True)]

    asyncio.run(main())


@pytest.mark.parametrize("answer", [Reply(503, {}, b"member is starting"), TransportError("EOF")])
def test_a_snapshot_that_is_refused_is_reported(answer):
    async def main():
        hub = Hub()
        pipe = pipeline(hub)
        pipe.send(SNAPSHOT)
        await turns()
        if isinstance(answer, Exception):
            hub.asked[0].set_exception(answer)
        else:
            hub.asked[0].set_result(answer)
        await turns()
        assert hub.reported == [(NUMBER, False)]

    asyncio.run(main())


def test_workers_and_queue_are_bounded():
    async def main():
        hub = Hub()
        pipe = pipeline(hub)
        taken = [pipe.send(HEARTBEAT) for _ in range(POST_QUEUE + 5)]
        assert taken.count(False) == 5
        await turns()
        assert len(hub.asked) == POST_WORKERS
        for _ in range(POST_QUEUE):
            for answer in hub.asked:
                if not answer.done():
                    answer.set_result(Reply(204, {}, b""))
            await turns()
        assert len(hub.asked) == POST_QUEUE
        pipe.stop()

    asyncio.run(main())
