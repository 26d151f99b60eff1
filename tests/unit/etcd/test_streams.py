"""What a stream's writer sends at once, and what may wait for the next message."""

from __future__ import annotations

import asyncio

from coreos_py.etcd.rafthttp_codec import MessageDecoder
from coreos_py.etcd.streams import HOLD_S, StreamKind, StreamWriter
from coreos_py.raft.types import Message, MsgType


class Sent:
    """Stands for the reply that carries a stream: pieces as they were written."""

    buffered = 0
    closed = False

    def __init__(self):
        self.pieces: list[list[Message]] = []
        self._decoder = MessageDecoder()

    def write(self, data):
        if data:
            self.pieces.append(self._decoder.feed(data))


def answer(index, *, term=2, reject=False):
    return Message(MsgType.APP_RESP, 1, 2, term, index=index, reject=reject)


def test_an_answer_that_was_given_waits_for_the_next_message():
    async def scenario():
        sent = Sent()
        writer = StreamWriter(StreamKind.MESSAGE, sent)
        assert all(writer.write(answer(index)) for index in (4, 4, 3, 5, 5))
        assert sent.pieces == [[answer(4)], [answer(4), answer(3), answer(5)]]
        beat = Message(MsgType.HEARTBEAT_RESP, 1, 2, 2)
        writer.write(beat)
        assert sent.pieces[2:] == [[answer(5), beat]]

    asyncio.run(scenario())


def test_it_does_not_wait_for_long():
    async def scenario():
        sent = Sent()
        writer = StreamWriter(StreamKind.MESSAGE, sent)
        for index in (4, 4, 4):
            writer.write(answer(index))
        await asyncio.sleep(3 * HOLD_S)
        assert sent.pieces == [[answer(4)], [answer(4), answer(4)]]
        writer.write(answer(4))
        await asyncio.sleep(3 * HOLD_S)
        assert sent.pieces[2:] == [[answer(4)]]

    asyncio.run(scenario())


def test_another_term_and_a_refusal_are_news():
    async def scenario():
        sent = Sent()
        writer = StreamWriter(StreamKind.MESSAGE, sent)
        news = [answer(4), answer(4, term=3), answer(4, term=3, reject=True), answer(2, term=3)]
        for message in news:
            writer.write(message)
        assert sent.pieces == [[message] for message in news]

    asyncio.run(scenario())
