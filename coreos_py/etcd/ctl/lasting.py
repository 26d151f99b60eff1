"""A watch that outlives members, leaders and the history: what it could not see is said on stderr.

etcdctl 2.3.8 ends at the first refusal. Ours asks again while no member answers, and where the
history has moved on it lists what it watches and shows what has changed, then goes on from there.
From our etcd it asks for progress, so that this is needed only after a long interruption.
"""

from __future__ import annotations

import sys
from time import sleep

from coreos_py.base.errors import EVENT_INDEX_CLEARED, KEY_NOT_FOUND, CoreosError, StoreError
from coreos_py.etcd.ctl.session import EXIT_SERVER_ERROR, fail
from coreos_py.etcdclient import calls
from coreos_py.etcdclient.errors import ClusterUnavailable, EmptyBody
from coreos_py.etcdclient.model import Result
from coreos_py.http.client import TransportError
from coreos_py.http.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreos_py.etcdclient.model import Node
    from coreos_py.etcdclient.sync_client import Etcd

RETRY_S = 0.25
RETRY_MAX_S = 4.0
_U64 = 1 << 64


def first_index(after_index: int) -> int:
    """The index to wait for after one that was given; 0, from now on, if none was."""
    return after_index % _U64 + 1 if after_index else 0


def events(client: Etcd, key: str, *, after_index: int, recursive: bool) -> Iterator[Result]:
    """Events for ever; ends the command only when the cluster refuses the watch itself."""
    watch = _Watch(client, key, wait_index=first_index(after_index), recursive=recursive)
    while True:
        yield from watch.next()


class _Watch:
    def __init__(self, client: Etcd, key: str, *, wait_index: int, recursive: bool) -> None:
        self._client = client
        self._key = key
        self._recursive = recursive
        self._wait_index = wait_index
        self._begun = False
        self._retry_s = 0.0

    def next(self) -> list[Result]:
        """The next event, or those of a listing, or none when it was in vain."""
        try:
            try:
                event = self._wait()
            except StoreError as err:
                if err.code != EVENT_INDEX_CLEARED:
                    raise
                return self._list()
        except (ClusterUnavailable, TransportError) as err:
            if not self._begun:
                fail(EXIT_SERVER_ERROR, err)
            self._pause(err)
            return []
        except EmptyBody:
            return []
        except CoreosError as err:
            fail(EXIT_SERVER_ERROR, err)
        passed = event.action == calls.PROGRESS
        self._wait_index = max(event.node.modified_index, self._wait_index - passed) + 1
        return [] if passed else [event]

    def _wait(self) -> Result:
        call = calls.wait(
            self._key,
            wait_index=self._wait_index,
            recursive=self._recursive,
            progress_s=calls.PROGRESS_S,
        )
        stream = self._client.download(call)
        reply = Reply(stream.status, stream.fields, b"")
        self._answered()
        if stream.status == 200 and not self._wait_index:
            # From here on nothing is missed, whatever becomes of this connection.
            index = reply.get("x-etcd-index")
            self._wait_index = int(index) + 1 if index.isdecimal() else 0
        reply.body = b"".join(stream.pieces())
        return calls.read_result(reply)

    def _list(self) -> list[Result]:
        """What was changed since the index that the history no longer has, oldest first."""
        _say(
            f"events from index {self._wait_index} on are gone from the history; "
            f"listing {self._key} instead, removed keys are not shown"
        )
        try:
            listed = self._client.result(calls.get(self._key, recursive=self._recursive))
        except StoreError as err:
            if err.code != KEY_NOT_FOUND:
                raise
            self._wait_index = err.index + 1
            return []
        found = [node for node in _files(listed.node) if node.modified_index >= self._wait_index]
        found.sort(key=lambda node: node.modified_index)
        self._wait_index = listed.etcd_index + 1
        return [Result("set", node, None, etcd_index=listed.etcd_index) for node in found]

    def _pause(self, err: CoreosError) -> None:
        if not self._retry_s:
            reason = "; ".join(err.errors) if isinstance(err, ClusterUnavailable) else err
            _say(f"the watch of {self._key} is interrupted, trying again: {reason}")
        self._retry_s = min(max(2 * self._retry_s, RETRY_S), RETRY_MAX_S)
        sleep(self._retry_s)

    def _answered(self) -> None:
        self._begun = True
        if self._retry_s:
            _say(f"watching {self._key} again from index {self._wait_index or 'now'}")
            self._retry_s = 0.0


def _files(node: Node) -> list[Node]:
    if not node.dir:
        return [node]
    return [file for child in node.nodes for file in _files(child)]


def _say(text: str) -> None:
    print(f"etcdctl: {text}", file=sys.stderr, flush=True)
