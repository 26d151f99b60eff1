"""Removes the texts of destroyed units, on request: fleet 1.0.0 keeps every text for ever.

A text is stored under its hash before the job that names it is written, and one that is there
already is simply used. So nothing is removed that was in use lately, and for a while after a
removal its text is kept here: whoever came to use it in that very moment finds it put back. Only
the leading engine collects.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import KEY_NOT_FOUND, NODE_EXIST, TEST_FAILED, CoreosError, StoreError
from coreos_py.fleet import model

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from coreos_py.etcdclient.model import Node
    from coreos_py.fleet.registry import Registry

log = logging.getLogger(__name__)

# For so long somebody may still write the job whose text is gone.
KEPT_S = 60.0
_PASS_S = 15.0


class Kept(NamedTuple):
    """A text that was removed, and until when it may have to be put back."""

    value: str
    until_s: float


class Collector:
    """Which texts are garbage; times are arguments."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._unused_since: dict[str, float] = {}
        self._removed: dict[str, Kept] = {}

    def due(self, stored: Collection[str], used: Collection[str], now_s: float) -> list[str]:
        """Return the texts that nobody has used for long enough."""
        unused = sorted(set(stored).difference(used))
        self._unused_since = {name: self._unused_since.get(name, now_s) for name in unused}
        return [n for n, since_s in self._unused_since.items() if now_s - since_s >= self._after_s]

    def removed(self, name: str, value: str, now_s: float) -> None:
        """Note that a text was removed."""
        self._removed[name] = Kept(value, now_s + KEPT_S)

    def missed(self, used: Collection[str], now_s: float) -> dict[str, str]:
        """Return the removed texts that are in use after all."""
        found = {name: kept.value for name, kept in self._removed.items() if name in used}
        self._removed = {
            name: kept
            for name, kept in self._removed.items()
            if name not in used and now_s < kept.until_s
        }
        return found


async def collect_for_ever(
    registry: Registry, is_leader: Callable[[], bool], *, after_s: float
) -> None:
    """Collect whenever this machine's engine leads."""
    collector = Collector(after_s)
    while True:
        await asyncio.sleep(_PASS_S)
        if not is_leader():
            collector = Collector(after_s)
            continue
        try:
            await collect(registry, collector, time.monotonic())
        except CoreosError as err:
            log.warning("Failed collecting unused unit texts: %s", err)


async def collect(registry: Registry, collector: Collector, now_s: float) -> None:
    """Make one pass."""
    texts = {_base(node): node for node in await _nodes(registry, "unit")}
    used = await _used(registry)
    for name, value in collector.missed(used, now_s).items():
        await _put_back(registry, name, value)
    due = collector.due(texts, used, now_s)
    for name in due:
        if await _remove(registry, texts[name]):
            collector.removed(name, texts[name].value, now_s)
            log.info("Removed the text of Unit(%s), which no unit uses", name)
    if due:
        for name, value in collector.missed(await _used(registry), now_s).items():
            await _put_back(registry, name, value)


async def _used(registry: Registry) -> set[str]:
    """Return the hashes that jobs name; CoreosError when one of them cannot be read."""
    found = set()
    for job in await _nodes(registry, "job"):
        for node in job.nodes:
            if _base(node) == "object":
                found.add(_hash_of(node))
    return found


def _hash_of(node: Node) -> str:
    try:
        return model.decode_job(node.value)[1]
    except ValueError as err:
        raise CoreosError(f"{node.key}: {err}") from None


async def _nodes(registry: Registry, directory: str) -> tuple[Node, ...]:
    try:
        key = registry.key(directory)
        return tuple((await registry.etcd.get(key, recursive=True, quorum=True)).node.nodes)
    except StoreError as err:
        if err.code != KEY_NOT_FOUND:
            raise
        return ()


async def _remove(registry: Registry, node: Node) -> bool:
    try:
        key = registry.key("unit", _base(node))
        await registry.etcd.cad(key, prev_index=node.modified_index)
    except StoreError as err:
        if err.code not in (KEY_NOT_FOUND, TEST_FAILED):
            raise
        return False
    return True


async def _put_back(registry: Registry, name: str, value: str) -> None:
    try:
        await registry.etcd.create(registry.key("unit", name), value)
    except StoreError as err:
        if err.code != NODE_EXIST:
            raise
        return
    log.info("Put the text of Unit(%s) back: a unit came to use it just now", name)


def _base(node: Node) -> str:
    return node.key[node.key.rfind("/") + 1 :]
