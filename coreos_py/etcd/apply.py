"""From a committed Request to the store: which operation it is, and what it means for the cluster.

Pure: every member gets the same requests in the same order and must end with the same store.
Mirrors applyRequest of etcd 2.3.8's etcdserver/server.go.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coreos_py.base.errors import RAFT_INTERNAL, StoreError
from coreos_py.etcd.membership import VERSION_KEY, Cluster
from coreos_py.etcd.version import short

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcd.pb import Request
    from coreos_py.store.event import Event
    from coreos_py.store.store import Store

_ATTRIBUTES = re.compile(r"/0/members/([0-9a-fA-F]{1,16})/attributes")


class Applier:
    """Applies requests to one store and keeps the cluster's view in step."""

    __slots__ = ("_cluster", "_notice", "_store")

    def __init__(self, store: Store, cluster: Cluster, *, notice: Callable[[str], None]) -> None:
        """`notice` is told about membership facts, one line each."""
        self._store = store
        self._cluster = cluster
        self._notice = notice

    def apply(self, request: Request, *, now_ns: int) -> Event | None:
        """Run one request; None where there is nothing to report; StoreError if it fails."""
        store = self._store
        match request.method:
            case "PUT":
                return self._put(request, now_ns)
            case "DELETE":
                if request.prev_index or request.prev_value:
                    return store.compare_and_delete(
                        request.path,
                        prev_value=request.prev_value,
                        prev_index=request.prev_index,
                        now_ns=now_ns,
                    )
                return store.delete(
                    request.path, is_dir=request.dir, recursive=request.recursive, now_ns=now_ns
                )
            case "POST":
                return store.create(
                    request.path,
                    is_dir=request.dir,
                    value=request.val,
                    unique=True,
                    expire_ns=request.expiration,
                    now_ns=now_ns,
                )
            case "QGET":
                return store.get(
                    request.path, recursive=request.recursive, sort=request.sorted, now_ns=now_ns
                )
            case "SYNC":
                store.delete_expired(request.time)
                return None
        raise StoreError(RAFT_INTERNAL, "etcdserver: unknown method")

    def _put(self, request: Request, now_ns: int) -> Event | None:
        store = self._store
        prev_exist = request.prev_exist
        if prev_exist is False:
            return store.create(
                request.path,
                is_dir=request.dir,
                value=request.val,
                unique=False,
                expire_ns=request.expiration,
                now_ns=now_ns,
            )
        if request.prev_index or request.prev_value:
            return store.compare_and_swap(
                request.path,
                prev_value=request.prev_value,
                prev_index=request.prev_index,
                value=request.val,
                expire_ns=request.expiration,
                refresh=request.refresh is True,
                now_ns=now_ns,
            )
        if prev_exist:
            return store.update(
                request.path,
                value=request.val,
                expire_ns=request.expiration,
                refresh=request.refresh is True,
                now_ns=now_ns,
            )
        if request.path.startswith("/0/") and not self._membership(request):
            return None
        return store.set(
            request.path,
            is_dir=request.dir,
            value=request.val,
            expire_ns=request.expiration,
            refresh=request.refresh is True,
            now_ns=now_ns,
        )

    def _membership(self, request: Request) -> bool:
        """Follow a write to the cluster's own tree; False if the store must not see it."""
        if request.path == VERSION_KEY:
            self._set_version(request.val)
            return True
        found = _ATTRIBUTES.search(request.path)
        if found is None:
            return True
        number = int(found[1], 16)
        if self._cluster.update_attributes(number, request.val):
            return True
        self._notice(f"skipped updating attributes of removed member {number:x}")
        return False

    def _set_version(self, text: str) -> None:
        old = self._cluster.version
        if old is None:
            self._notice(f"set the initial cluster version to {short(text)}")
        else:
            self._notice(f"updated the cluster version from {short(old)} to {short(text)}")
        self._cluster.version = text
