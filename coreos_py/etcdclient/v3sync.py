"""The v2 client's primitives over the JSON gateway of etcd 3, for command-line programs: blocking,
no asyncio, same records and errors as the async one.
"""

from __future__ import annotations

from time import monotonic

from coreos_py.etcdclient import v3map
from coreos_py.etcdclient.v3talk import Talk
from coreos_py.etcdclient.v3wire import GatewayError
from coreos_py.http.client import HTTPClient, TransportError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from typing import Any

    from coreos_py.etcdclient.model import Result
    from coreos_py.etcdclient.v3map import Plan
    from coreos_py.etcdclient.v3talk import Attempt
    from coreos_py.etcdclient.v3wire import Rpc
    from coreos_py.http.reply import Reply
    from coreos_py.http.url import Endpoint


class Etcd3:
    """Talks to the cluster behind `endpoints`; `timeout_s` bounds each attempt at one of them.

    `run` executes the plans of v3map. `trace` sees every request.
    """

    def __init__(
        self,
        endpoints: Iterable[str],
        *,
        timeout_s: float = 1.0,
        username: str = "",
        password: str = "",
        tls: Callable[[], ssl.SSLContext] | None = None,
        shuffle: Callable[[list[Endpoint]], None] | None = None,
        trace: Callable[[str, str], None] | None = None,
    ) -> None:
        self._talk = Talk(endpoints, username=username, password=password, shuffle=shuffle)
        self._timeout_s = timeout_s
        self._http = HTTPClient(tls=tls)
        self._trace = trace

    def get(self, path: str, *, recursive: bool = False, quorum: bool = False) -> Result:
        """Read a key or list a directory, sorted; StoreError 100 when it is not there."""
        return self.run(v3map.get(path, recursive=recursive, quorum=quorum))

    def put(
        self,
        path: str,
        value: str,
        *,
        prev_exist: bool | None = None,
        prev_index: int = 0,
        ttl_s: int = 0,
    ) -> Result:
        """Write a key, possibly only if it is as expected. Every write with a TTL gets a lease."""
        lease = self._grant(ttl_s) if ttl_s else 0
        plan = v3map.put(
            path, value, prev_exist=prev_exist, prev_index=prev_index, lease=lease, ttl_s=ttl_s
        )
        return self.run(plan)

    def delete(
        self, path: str, *, prev_value: str = "", prev_index: int = 0, recursive: bool = False
    ) -> Result:
        """Remove a key, possibly only if it is as expected, or a directory."""
        plan = v3map.delete(path, prev_value=prev_value, prev_index=prev_index, recursive=recursive)
        return self.run(plan)

    def run(self, plan: Plan) -> Result:
        """Make the calls of a plan; StoreError, GatewayError, ClusterUnavailable."""
        try:
            rpc = next(plan)
            while True:
                rpc = plan.send(self.call(rpc))
        except StopIteration as end:
            result: Result = end.value
            return result
        except GatewayError as err:
            raise err.translated() from None

    def call(self, rpc: Rpc) -> dict[str, Any]:
        """Make one call."""
        steps = self._talk.call(rpc)
        try:
            attempt = next(steps)
            while True:
                try:
                    reply = self._send(attempt)
                except TransportError as err:
                    attempt = steps.throw(err)
                else:
                    attempt = steps.send(reply)
        except StopIteration as end:
            answer: dict[str, Any] = end.value
            return answer

    def close(self) -> None:
        """Close the kept connections."""
        self._http.close()

    def _grant(self, ttl_s: int) -> int:
        try:
            return int(self.call(v3map.grant(ttl_s))["ID"])
        except GatewayError as err:
            raise err.translated() from None

    def _send(self, attempt: Attempt) -> Reply:
        if self._trace is not None:
            self._trace("POST", attempt.endpoint.text.rstrip("/") + attempt.target)
        deadline = monotonic() + self._timeout_s
        return self._http.request(
            "POST",
            attempt.endpoint,
            attempt.target,
            headers=attempt.headers,
            body=attempt.body,
            header_deadline=deadline,
            deadline=deadline,
        )
