"""This machine's key in etcd: registering it, keeping it alive, and noticing when that fails.

fleet 1.0.0 cannot register while an older key of the same machine is alive, not even its own from
before a crash. Here the index of the last write is kept in a file: a key that still has it is this
machine's own and is taken over at once, and so is one with this machine's very words after a try
that etcd did not answer: it has written it since. Any other belongs to a second machine with the
same identity, and is respected. Mirrors heart/heart.go and server/monitor.go.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from typing import TYPE_CHECKING

from coreos_py.base.atomic import write_atomically
from coreos_py.base.errors import KEY_NOT_FOUND, NODE_EXIST, TEST_FAILED, CoreosError, StoreError
from coreos_py.base.sdnotify import status
from coreos_py.etcdclient.errors import ClusterUnavailable
from coreos_py.fleet.heartbeat import next_backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.fleet.heartbeat import Timings
    from coreos_py.fleet.model import MachineObject
    from coreos_py.fleet.registry import Registry

log = logging.getLogger(__name__)

RECORD_NAME = ".registration"
_TWINS = "two machines have the same machine ID, one of them must get another"
# So many beats in a row that follow somebody else's say that there is another.
_FOREIGN_BEATS = 3
# While another key is alive it is looked at this often: it may be our own, about to expire.
_OCCUPIED_RETRY_S = 2.0
# Longest wait between tries to reach etcd; 1.0.0 lets it grow to a minute.
_RETRY_MAX_S = 2.0


class Heart:
    """Keeps one machine registered."""

    def __init__(
        self,
        registry: Registry,
        machine: Callable[[], MachineObject],
        *,
        timings: Timings,
        record_path: str,
        disable_engine: bool,
        api_url: str,
    ) -> None:
        self._registry = registry
        self._machine = machine
        self._timings = timings
        self._record_path = record_path
        self._disable_engine = disable_engine
        self._api_url = api_url
        self._is_unanswered = False
        self._last_index = 0
        self._foreign_beats = 0

    async def register(self) -> None:
        """Register, trying for as long as it takes."""
        wait_s = 0.0
        occupied_s = time.monotonic()
        while True:
            wait_s = min(next_backoff_s(wait_s), _RETRY_MAX_S)
            try:
                index = await self._register_once()
            except StoreError as err:
                if err.code != NODE_EXIST:
                    wait_s = self._complain(err, wait_s)
                else:
                    has_waited_s = time.monotonic() - occupied_s
                    wait_s = await self._complain_of_twin(has_waited_s)
            except CoreosError as err:
                wait_s = self._complain(err, wait_s)
            else:
                await self._registered(index)
                return
            await asyncio.sleep(wait_s)

    async def keep_beating(
        self, *, on_lost: Callable[[], None], on_regained: Callable[[], None]
    ) -> None:
        """Beat for ever; report when etcd stays out of reach and when it is back."""
        while True:
            await asyncio.sleep(self._timings.machine_beat_s)
            if await self._beat_in_time():
                continue
            log.error("Server monitor triggered: Monitor timed out before successful heartbeat")
            log.info("Restarting server")
            on_lost()
            await self._beat_again()
            log.info("hrt.Beat() success")
            on_regained()

    async def clear(self) -> None:
        """Take the machine off the list, for a graceful stop."""
        machine_id = self._machine().id
        try:
            await self._registry.remove_machine(machine_id)
            if self._api_url:
                await self._registry.withdraw_api(machine_id)
        except CoreosError as err:
            log.warning("machine key stays until it expires: %s", err)

    async def _register_once(self) -> int:
        machine, ttl_s = self._machine(), self._timings.agent_ttl_s
        index = self._recorded(machine.id)
        if index:
            try:
                return await self._registry.take_over_machine(
                    machine, index=index, ttl_s=ttl_s, disable_engine=self._disable_engine
                )
            except StoreError as err:
                if err.code not in (KEY_NOT_FOUND, TEST_FAILED):
                    raise
        try:
            return await self._registry.create_machine(
                machine, ttl_s=ttl_s, disable_engine=self._disable_engine
            )
        except StoreError as err:
            if err.code != NODE_EXIST or not self._is_unanswered:
                raise
            index = await self._registry.own_registration(
                machine, disable_engine=self._disable_engine
            )
            if not index:
                raise
        except CoreosError:
            self._is_unanswered = True
            raise
        return await self._registry.take_over_machine(
            machine, index=index, ttl_s=ttl_s, disable_engine=self._disable_engine
        )

    async def _complain_of_twin(self, has_waited_s: float) -> float:
        """Say who has this machine's ID: it may be itself, until its old key has expired."""
        machine_id = self._machine().id
        try:
            other = await self._registry.machine(machine_id)
        except CoreosError:
            other = None
        where = f" at {other.public_ip}" if other is not None and other.public_ip else ""
        problem = f"Machine({machine_id}){where} is in the cluster already"
        if has_waited_s > self._timings.agent_ttl_s + _OCCUPIED_RETRY_S:
            problem += f"; {_TWINS}"
            status(f"not in the cluster: {_TWINS}")
        return self._complain(problem, _OCCUPIED_RETRY_S)

    async def _registered(self, index: int) -> None:
        self._last_index = index
        self._record(index)
        await self._announce()
        log.info("hrt.Register() success")
        await self._look_for_neighbours()

    async def _look_for_neighbours(self) -> None:
        """Warn of machines that publish this machine's address."""
        own = self._machine()
        if not own.public_ip or own.public_ip.startswith("127."):
            return
        try:
            others = await self._registry.machines()
        except CoreosError as err:
            log.debug("other machines' addresses are not known: %s", err)
            return
        for other in others:
            if other.public_ip == own.public_ip and other.id != own.id:
                text = "Machine(%s) publishes this machine's address %s too: one of them is wrong"
                log.warning(text, other.id, own.public_ip)

    async def _beat_in_time(self) -> bool:
        deadline = time.monotonic() + self._timings.beat_deadline_s
        while True:
            try:
                await self._beat()
            except CoreosError as err:
                log.debug("Monitor heartbeat failed: %s", err)
            else:
                return True
            if time.monotonic() + self._timings.beat_retry_s >= deadline:
                return False
            await asyncio.sleep(self._timings.beat_retry_s)

    async def _beat_again(self) -> None:
        wait_s = 0.0
        while True:
            wait_s = min(next_backoff_s(wait_s), _RETRY_MAX_S)
            try:
                await self._beat()
            except CoreosError as err:
                self._complain(err, wait_s)
            else:
                return
            await asyncio.sleep(wait_s)

    async def _beat(self) -> None:
        index, before = await self._registry.set_machine(
            self._machine(), ttl_s=self._timings.agent_ttl_s, disable_engine=self._disable_engine
        )
        self._notice_twin(before)
        self._last_index = index
        self._record(index)
        await self._announce()

    def _notice_twin(self, before: int) -> None:
        """Notice that somebody else writes this machine's key as well.

        Once is no proof: a write of our own may have been carried out without an answer.
        """
        is_foreign = before not in (0, self._last_index)
        self._foreign_beats = self._foreign_beats + 1 if is_foreign else 0
        if self._foreign_beats and self._foreign_beats % _FOREIGN_BEATS == 0:
            log.error("Another fleetd is Machine(%s) as well: %s", self._machine().id, _TWINS)

    async def _announce(self) -> None:
        if not self._api_url:
            return
        try:
            ttl_s = self._timings.agent_ttl_s
            await self._registry.announce_api(self._machine().id, self._api_url, ttl_s=ttl_s)
        except CoreosError as err:
            log.debug("API address was not announced: %s", err)

    def _complain(self, problem: object, wait_s: float) -> float:
        text = problem.summary() if isinstance(problem, ClusterUnavailable) else problem
        log.warning("Server register machine failed: %s, retrying in %g sec.", text, wait_s)
        return wait_s

    # -- the record of the last write

    def _recorded(self, machine_id: str) -> int:
        try:
            with open(self._record_path, encoding="utf-8") as file:
                found = json.load(file)
            return int(found["index"]) if found["machine"] == machine_id else 0
        except (OSError, ValueError, TypeError, KeyError):
            return 0  # nothing usable: the old key has to expire, as with fleet 1.0.0

    def _record(self, index: int) -> None:
        data = json.dumps({"machine": self._machine().id, "index": index}).encode()
        try:
            os.makedirs(os.path.dirname(self._record_path), exist_ok=True)
            write_atomically(self._record_path, data)
        except OSError as err:
            log.warning("%s: %s", self._record_path, err.strerror)
