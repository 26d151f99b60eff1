"""Hands an upstream's answer over to a client as it arrives, watches included.

Knows neither upstreams nor routes; used by the proxy and by whoever stands in front of an etcd.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coreos_py.etcd import proxy
from coreos_py.http.client import TransportError
from coreos_py.http.framing import ParseError, content_length
from coreos_py.http.message import Response, encode_headers

if TYPE_CHECKING:
    from coreos_py.http.aclient import AsyncReply
    from coreos_py.http.exchange import Pending
    from coreos_py.http.message import Request

WHOLE_BODY_MAX = 64 << 10
_BODYLESS = (204, 304)


async def hand_over(
    reply: AsyncReply,
    request: Request,
    pending: Pending,
    *,
    extra: bytes = b"",
    read_timeout_s: float | None = None,
) -> bool:
    """Give the client this answer, with `extra` header lines; False if it broke off before that."""
    headers = encode_headers(proxy.reply_headers(reply.fields)) + extra
    length = _length(reply)
    if request.method == "HEAD" or reply.status in _BODYLESS:
        pending.complete(Response(reply.status, headers, content_length=length))
        return True
    if length is not None and length <= WHOLE_BODY_MAX:
        try:
            body = await reply.read_all()
        except TransportError:
            return False
        pending.complete(Response(reply.status, headers, body))
        return True
    pending.start(reply.status, headers, content_length=length)
    last = b""
    try:
        while piece := await _read(reply, read_timeout_s):
            pending.write(piece)
            last = piece
            await _room(pending)
    except TransportError:
        if length is not None or not proxy.may_end_here(last):
            pending.cut()
            return True
    pending.end()
    return True


async def _read(reply: AsyncReply, timeout_s: float | None) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            return await reply.read()
    except TimeoutError:
        raise TransportError("read: i/o timeout") from None


async def _room(pending: Pending) -> None:
    """Wait until the client has caught up."""
    room = asyncio.Event()
    pending.on_drain(room.set)
    await room.wait()


def _length(reply: AsyncReply) -> int | None:
    try:
        return content_length(reply.fields)
    except ParseError:
        return None
