"""Streams of events from the JSON gateway of etcd 3, and the sending of its calls, on asyncio.

A stream goes on where it was, at another endpoint if need be, until nobody can be reached, the
history has gone, or the server refuses. One connection per stream.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from coreos_py.base.errors import StoreError
from coreos_py.etcdclient.errors import ClusterUnavailable, InvalidJSON
from coreos_py.etcdclient.v3talk import explain
from coreos_py.etcdclient.v3wire import WATCH_HEADERS, GatewayError, NoGateway, read_reply
from coreos_py.http.client import TransportError
from coreos_py.http.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TypeVar

    from coreos_py.etcdclient.model import Result
    from coreos_py.etcdclient.v3talk import Attempt, Talk
    from coreos_py.etcdclient.v3watch import Watch
    from coreos_py.etcdclient.v3wire import Rpc
    from coreos_py.http.aclient import AsyncHTTPClient, AsyncReply
    from coreos_py.http.url import Endpoint

    T = TypeVar("T")

# Between two streams, so that a server that ends each at once is not run into.
_PAUSE_S = 0.1


async def drive(
    steps: Generator[Attempt, Reply, T], http: AsyncHTTPClient, *, timeout_s: float
) -> T:
    """Send what a call asks to be sent, until it has its answer."""
    try:
        attempt = next(steps)
        while True:
            try:
                reply = await http.request(
                    "POST",
                    attempt.endpoint,
                    attempt.target,
                    headers=attempt.headers,
                    body=attempt.body,
                    timeout_s=timeout_s,
                )
            except TransportError as err:
                attempt = steps.throw(err)
            else:
                attempt = steps.send(reply)
    except StopIteration as end:
        answer: T = end.value
        return answer


class EventStream3:
    """The events of a Watch as they come; close it. `etcd_index` is the revision it began at."""

    def __init__(
        self, talk: Talk, http: AsyncHTTPClient, watch: Watch, *, timeout_s: float
    ) -> None:
        self._talk = talk
        self._http = http
        self._watch = watch
        self._timeout_s = timeout_s
        self._reply: AsyncReply | None = None
        self._endpoint: Endpoint | None = None
        self._errors: list[str] = []
        self._is_logged_in = False

    @property
    def etcd_index(self) -> int:
        """Everything after this revision is an event of the stream."""
        return self._watch.began_at

    @property
    def goes_on_at(self) -> int:
        """The index at which a caller who took the last event goes on."""
        return self._watch.goes_on_at

    async def begin(self) -> None:
        """Wait until the server has begun."""
        while not self._watch.began_at:
            await self._receive()

    async def next(self) -> list[Result]:
        """The next events, at least one; CoreosError when there is no going on."""
        events = [await self.next_one()]
        while (event := self._watch.take()) is not None:
            events.append(event)
        return events

    async def next_one(self) -> Result:
        """The next event."""
        while (event := self._watch.take()) is None:
            await self._receive()
        return event

    def close(self) -> None:
        """Drop the connection."""
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.close()

    async def _receive(self) -> None:
        """Take something from a stream, or make sure that there is one."""
        try:
            if self._reply is None:
                self._reply = await self._open()
            data = await self._reply.read()
            if self._watch.feed(data):
                self._errors = []
            if not data:
                self._watch.end()
                raise TransportError("EOF")
        except (TransportError, GatewayError, InvalidJSON) as err:
            await self._broken(err)

    async def _broken(self, err: Exception) -> None:
        """Go on elsewhere, or raise when there is nowhere left."""
        self.close()
        endpoint = self._endpoint
        assert endpoint is not None
        if isinstance(err, GatewayError):
            if err.needs_login and self._talk.can_login and not self._is_logged_in:
                self._is_logged_in = True
                await self._login(endpoint)
                return
            problem = err.translated()
            if isinstance(problem, StoreError):
                raise problem from None
        self._errors.append(explain(endpoint, err))
        order = self._talk.endpoints.order()
        if len(self._errors) > len(order):
            raise ClusterUnavailable(self._errors[-len(order) :])
        if order[0] is endpoint:
            self._talk.endpoints.pin(order[1 % len(order)])
        await asyncio.sleep(_PAUSE_S)

    async def _login(self, endpoint: Endpoint) -> None:
        try:
            await drive(self._talk.login(endpoint), self._http, timeout_s=self._timeout_s)
        except GatewayError as err:
            raise err.translated() from None
        except TransportError as err:
            raise ClusterUnavailable([explain(endpoint, err)]) from None

    async def _open(self) -> AsyncReply:
        """A stream from the first endpoint that gives one."""
        rpc = self._watch.request()
        failed = []
        for endpoint in self._talk.endpoints.order():
            self._endpoint = endpoint
            try:
                reply = await self._stream(endpoint, rpc)
            except (TransportError, GatewayError, InvalidJSON, NoGateway) as err:
                failed.append(explain(endpoint, err))
            else:
                self._talk.endpoints.pin(endpoint)
                return reply
        raise ClusterUnavailable(failed + self._errors)

    async def _stream(self, endpoint: Endpoint, rpc: Rpc) -> AsyncReply:
        while True:
            attempt = self._talk.attempt(endpoint, rpc, headers=WATCH_HEADERS)
            reply = await self._http.stream(
                "POST",
                endpoint,
                attempt.target,
                headers=attempt.headers,
                body=attempt.body,
                timeout_s=self._timeout_s,
            )
            if reply.status == 200:
                return reply
            try:
                read_reply(Reply(reply.status, reply.fields, await reply.read_all()))
            except NoGateway:
                if not self._talk.next_prefix():
                    raise
            finally:
                reply.close()
