"""The tokens in an etcd: /_etcd/registry/TOKEN, in whatever etcd is behind the service.

The service itself keeps nothing. A token that expires does so in etcd, by the TTL of its directory,
until it is complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.discovery import standing

if TYPE_CHECKING:
    from coreos_py.discovery.standing import Standing
    from coreos_py.etcdclient.async_client import AsyncEtcd

ROOT = "/_etcd/registry"


class Registry:
    """What the service itself does to tokens; `ttl_s` 0: they never expire."""

    def __init__(self, etcd: AsyncEtcd, *, ttl_s: int = 0) -> None:
        self._etcd = etcd
        self._ttl_s = ttl_s

    async def create(self, token: str, size: int) -> None:
        """Store a new token; CoreosError if that fails."""
        directory = f"{ROOT}/{token}"
        if self._ttl_s:
            await self._etcd.create(directory, is_dir=True, ttl_s=self._ttl_s)
        await self._etcd.create(f"{directory}/_config/size", str(size))

    async def delete(self, token: str) -> None:
        """Remove a token and all of its registrations."""
        await self._etcd.delete(f"{ROOT}/{token}", recursive=True)

    async def standing(self, token: str) -> Standing:
        """Who has registered; CoreosError if there is no such token or nobody can be asked."""
        directory = f"{ROOT}/{token}"
        size = await self._etcd.get(f"{directory}/_config/size", quorum=True)
        listing = await self._etcd.get(directory, quorum=True)
        try:
            return standing.read(size.node, listing.node)
        except ValueError:
            raise CoreosError(f"token {token} has the size {size.node.value!r}") from None

    async def keep(self, token: str) -> None:
        """The token is complete: it expires no more."""
        if self._ttl_s:
            await self._etcd.update(f"{ROOT}/{token}", is_dir=True)
