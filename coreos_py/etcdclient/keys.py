"""What the suite's daemons need of an etcd, over either API, and the choice between the two.

There is no guessing: a server that offers both APIs keeps two stores, and machines that guess
differently would be two clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from coreos_py.base.errors import ConfigError
from coreos_py.etcdclient.async_client import AsyncEtcd
from coreos_py.etcdclient.v3async import AsyncEtcd3

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from coreos_py.etcdclient.model import Result

V2 = "v2"
V3 = "v3"
APIS = (V2, V3)


class AsyncEvents(Protocol):
    """Events as they come; close it."""

    @property
    def etcd_index(self) -> int:
        """The store's index when it began."""

    async def next(self) -> list[Result]:
        """The next events; none when etcd has ended the stream."""

    def close(self) -> None:
        """Drop the connection."""


class AsyncKeys(Protocol):
    """The primitives of the v2 keys API; AsyncEtcd and AsyncEtcd3 offer them."""

    async def get(
        self, path: str, *, recursive: bool = False, sort: bool = False, quorum: bool = False
    ) -> Result:
        """Read a key or list a directory; StoreError 100 when it is not there."""

    async def set(self, path: str, value: str = "", *, ttl_s: int = 0) -> Result:
        """Write a key whatever was there before."""

    async def create(self, path: str, value: str = "", *, ttl_s: int = 0) -> Result:
        """Write a key that must not exist; StoreError 105 when it does."""

    async def update(self, path: str, value: str = "", *, ttl_s: int = 0) -> Result:
        """Write a key that must exist; StoreError 100 when it does not."""

    async def refresh(self, path: str, *, ttl_s: int) -> Result:
        """Renew the TTL of an existing key and leave its value."""

    async def cas(
        self,
        path: str,
        value: str,
        *,
        prev_value: str = "",
        prev_index: int = 0,
        ttl_s: int = 0,
    ) -> Result:
        """Write a key only if it is as expected; StoreError 101 when it is not."""

    async def delete(self, path: str, *, recursive: bool = False, is_dir: bool = False) -> Result:
        """Remove a key or directory."""

    async def cad(self, path: str, *, prev_value: str = "", prev_index: int = 0) -> Result:
        """Remove a key only if it is as expected; StoreError 101 when it is not."""

    async def watch(self, path: str, *, wait_index: int = 0, recursive: bool = False) -> Result:
        """The next event, or the first at or after `wait_index`."""

    async def stream(self, path: str, *, recursive: bool = False) -> AsyncEvents:
        """Every event from now on."""

    def close(self) -> None:
        """Close idle connections."""


def check_api(api: str, *, setting: str) -> str:
    """The name of an API; ConfigError for any other."""
    if api not in APIS:
        raise ConfigError(f"{setting}: {api!r} is neither v2 nor v3")
    return api


def open_keys(
    api: str,
    endpoints: Iterable[str],
    *,
    timeout_s: float,
    username: str = "",
    password: str = "",
    tls: ssl.SSLContext | None = None,
) -> AsyncKeys:
    """A client for that API; ValueError for an endpoint that is none."""
    make = AsyncEtcd3 if api == V3 else AsyncEtcd
    return make(endpoints, timeout_s=timeout_s, username=username, password=password, tls=tls)
