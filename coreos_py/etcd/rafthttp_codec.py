"""Framing of raft messages on etcd 2.3's peer streams: the message codec and msgapp v2.

An encoder and a decoder live as long as one connection: msgapp v2 leaves out what both ends can
work out from the message before. Link heartbeats keep a quiet stream alive and carry nothing; the
decoders count them and pass them over. A broken stream raises WireError, now and on every later
feed. Mirrors rafthttp/msg_codec.go and rafthttp/msgappv2_codec.go of etcd 2.3.8. Pure: no I/O.
"""

from __future__ import annotations

import abc

from coreos_py.base.errors import WireError
from coreos_py.etcd.pb import decode_entry, decode_message, encode_entry, encode_message
from coreos_py.raft.types import Entry, Message, MsgType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

FRAME_BYTES_MAX = 512 << 20

LINK_HEARTBEAT = Message(MsgType.HEARTBEAT)

_HEARTBEAT = 0
_ENTRIES = 1
_MESSAGE = 2


def is_link_heartbeat(message: Message) -> bool:
    """Whether a message only keeps a stream alive."""
    return message.type == MsgType.HEARTBEAT and message.from_ == 0 and message.to == 0


def decode_frame(data: bytes) -> Message:
    """The one framed message that a body begins with; WireError with Go's word for a short one."""
    for have, size in ((len(data), 8), (len(data) - 8, int.from_bytes(data[:8], "big"))):
        if have < size:
            raise WireError("unexpected EOF" if have else "EOF")
    return decode_message(data[8 : 8 + int.from_bytes(data[:8], "big")])


class MessageEncoder:
    """Frames any message for a message stream."""

    heartbeat = len(encode_message(LINK_HEARTBEAT)).to_bytes(8, "big") + encode_message(
        LINK_HEARTBEAT
    )

    def encode(self, message: Message) -> bytes:
        """The bytes of one message."""
        body = encode_message(message)
        return len(body).to_bytes(8, "big") + body


class MsgAppEncoder:
    """Frames MsgApp for a msgapp stream, without the fields the other end can predict."""

    heartbeat = b"\x00"

    def __init__(self) -> None:
        self.term = 0
        self.index = 0

    def encode(self, message: Message) -> bytes:
        """The bytes of one message, depending on the ones before."""
        if is_link_heartbeat(message):
            return self.heartbeat
        entries = message.entries
        if (
            self.index == message.index
            and self.term == message.log_term
            and message.log_term == message.term
        ):
            parts = [b"\x01", len(entries).to_bytes(8, "big")]
            for entry in entries:
                data = encode_entry(entry)
                parts += (len(data).to_bytes(8, "big"), data)
            parts.append(message.commit.to_bytes(8, "big"))
            self.index += len(entries)
            return b"".join(parts)
        self.term = message.term
        self.index = entries[-1].index if entries else message.index
        body = encode_message(message)
        return b"\x02%b%b" % (len(body).to_bytes(8, "big"), body)


class _Decoder(abc.ABC):
    """Cuts a stream into the pieces that _parts() asks for, however the bytes arrive."""

    def __init__(self, *, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.heartbeats = 0
        self._frame_bytes_max = frame_bytes_max
        self._found: list[Message] = []
        self._chunks: list[bytes] = []
        self._have = 0
        self._parts_asked = self._parts()
        self._need = next(self._parts_asked)
        self._broken: WireError | None = None

    def feed(self, data: bytes) -> list[Message]:
        """The messages completed by data, in order."""
        if self._broken is not None:
            raise self._broken
        self._have += len(data)
        self._chunks.append(data)
        if self._have < self._need:
            return []
        joined = b"".join(self._chunks) if len(self._chunks) > 1 else data
        at, need = 0, self._need
        try:
            while self._have - at >= need:
                piece = joined[at : at + need]
                at += need
                need = self._parts_asked.send(piece)
        except WireError as error:
            self._broken = error
            self._chunks.clear()
            raise
        self._need = need
        self._have -= at
        self._chunks = [joined[at:]] if self._have else []
        found, self._found = self._found, []
        return found

    @property
    def pending(self) -> int:
        """Bytes of an incomplete frame that are waiting for the rest of it."""
        return self._have

    @abc.abstractmethod
    def _parts(self) -> Generator[int, bytes, None]:
        """Ask for so many bytes at a time, and keep what they say."""

    def _size(self, head: bytes, *, used: int = 0) -> int:
        size = int.from_bytes(head, "big")
        if size + used > self._frame_bytes_max:
            raise WireError(f"raft stream: a frame of {size + used} bytes is too long")
        return size

    def _take(self, message: Message) -> None:
        if is_link_heartbeat(message):
            self.heartbeats += 1
        else:
            self._found.append(message)


class MessageDecoder(_Decoder):
    """Reads a message stream."""

    def _parts(self) -> Generator[int, bytes, None]:
        while True:
            size = self._size((yield 8))
            self._take(decode_message((yield size)))


class MsgAppDecoder(_Decoder):
    """Reads a msgapp v2 stream from the member `remote` to the member `local`."""

    def __init__(self, local: int, remote: int, *, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.local = local
        self.remote = remote
        self.term = 0
        self.index = 0
        super().__init__(frame_bytes_max=frame_bytes_max)

    def _parts(self) -> Generator[int, bytes, None]:
        while True:
            kind = (yield 1)[0]
            if kind == _HEARTBEAT:
                self.heartbeats += 1
            elif kind == _ENTRIES:
                yield from self._entries()
            elif kind == _MESSAGE:
                size = self._size((yield 8))
                message = decode_message((yield size))
                self.term = message.term
                last = message.entries[-1].index if message.entries else message.index
                self.index = last
                self._take(message)
            else:
                raise WireError(f"failed to parse type {kind} in msgappv2 stream")

    def _entries(self) -> Generator[int, bytes, None]:
        index = self.index
        count = int.from_bytes((yield 8), "big")
        used = 0
        entries: list[Entry] = []
        while len(entries) < count:
            size = self._size((yield 8), used=used)
            used += size + 8
            entry = decode_entry((yield size))
            if entry.index != index + len(entries) + 1:
                raise WireError(f"raft stream: entry {entry.index} after {index + len(entries)}")
            entries.append(entry)
        commit = int.from_bytes((yield 8), "big")
        self.index = index + count
        self._found.append(
            Message(
                MsgType.APP,
                self.local,
                self.remote,
                self.term,
                self.term,
                index,
                tuple(entries),
                commit,
            )
        )
