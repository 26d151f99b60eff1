"""Keys of etcd below one prefix: asked for, written and removed, with what may go wrong expected.

Knows nothing of what the keys hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.base.errors import (
    DIR_NOT_EMPTY,
    KEY_NOT_FOUND,
    TEST_FAILED,
    CoreosError,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from coreos_py.etcdclient.keys import AsyncKeys
    from coreos_py.etcdclient.model import Node, Result

    T = TypeVar("T")

DEFAULT_PREFIX = "/_coreos.com/fleet/"


class BadRecord(CoreosError):
    """Keys of a unit, a machine or the engines are there but cannot be understood."""


class Keyspace:
    """Reads and writes below one key prefix.

    `on_contact(True)` is called for every answer of a quorum, `on_contact(False)` for every request
    for one that got none.
    """

    def __init__(
        self,
        etcd: AsyncKeys,
        prefix: str = DEFAULT_PREFIX,
        *,
        on_contact: Callable[[bool], None] | None = None,
    ) -> None:
        self.etcd = etcd
        self.prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        self._on_contact = on_contact

    def key(self, *parts: str) -> str:
        """Return the path of a key."""
        return "/".join((self.prefix, *parts))

    async def _ask(self, request: Awaitable[T], *, quorum: bool = True) -> T:
        """Await a request. Only those that need a quorum tell whether etcd works."""
        try:
            result = await request
        except StoreError:
            self._note(quorum=quorum, reached=True)
            raise
        except CoreosError:
            self._note(quorum=quorum, reached=False)
            raise
        self._note(quorum=quorum, reached=True)
        return result

    def _note(self, *, quorum: bool, reached: bool) -> None:
        if quorum and self._on_contact is not None:
            self._on_contact(reached)

    async def _gone(self, request: Awaitable[Result]) -> bool:
        """Delete; False when the key did not exist."""
        try:
            await self._ask(request)
        except StoreError as err:
            if err.code != KEY_NOT_FOUND:
                raise
            return False
        return True

    async def _remove_empty(self, *parts: str) -> None:
        try:
            await self._gone(self.etcd.delete(self.key(*parts), is_dir=True))
        except StoreError as err:
            if err.code != DIR_NOT_EMPTY:
                raise

    async def _gone_if_ours(self, request: Awaitable[Result]) -> None:
        try:
            await self._gone(request)
        except StoreError as err:
            if err.code != TEST_FAILED:
                raise

    async def _get(self, *parts: str, quorum: bool = False) -> Result | None:
        try:
            return await self._ask(self.etcd.get(self.key(*parts), quorum=quorum), quorum=quorum)
        except StoreError as err:
            if err.code != KEY_NOT_FOUND:
                raise
            return None

    async def _tree(self, *parts: str, sort: bool = False, quorum: bool = False) -> Node | None:
        try:
            request = self.etcd.get(self.key(*parts), recursive=True, sort=sort, quorum=quorum)
            return (await self._ask(request, quorum=quorum)).node
        except StoreError as err:
            if err.code != KEY_NOT_FOUND:
                raise
            return None


def base_name(node: Node) -> str:
    """Return the last part of a key."""
    return node.key[node.key.rfind("/") + 1 :]


def children(directory: Node | None) -> tuple[Node, ...]:
    """Return what is in a directory that may be missing."""
    return () if directory is None else directory.nodes


def whole_ttl(ttl_s: float) -> int:
    """Return the TTL to ask for."""
    # fleet 1.0.0 cuts to whole seconds; a key that never expired would be worse than a short one.
    return max(int(ttl_s), 1)
