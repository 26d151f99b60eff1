"""fleet's state in etcd: units and their states, read into records and written from them.

Paths, values and conditions are those of fleet 1.0.0, so both may share a cluster. Where 1.0.0
reads every unit's text on every pass, texts are kept here by hash: what a hash names never changes.
A unit or state that does not parse is logged and left out. Mirrors registry/*.go.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from coreos_py.base import unitfile
from coreos_py.base.errors import (
    KEY_NOT_FOUND,
    NODE_EXIST,
    TEST_FAILED,
    StoreError,
)
from coreos_py.base.unitfile import UnitFileError, UnitNameError, validate_name
from coreos_py.etcdclient.model import Result
from coreos_py.fleet import model, requirements
from coreos_py.fleet.job import INACTIVE, Unit, UnitState, parse_state
from coreos_py.fleet.keyspace import DEFAULT_PREFIX, BadRecord, base_name, children, whole_ttl
from coreos_py.fleet.mirror import Job, JobMirror, job_of
from coreos_py.fleet.registry_machines import MachineRegistry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from typing import TypeVar

    from coreos_py.base.unitfile import UnitFile
    from coreos_py.etcdclient.keys import AsyncKeys
    from coreos_py.etcdclient.model import Node

    T = TypeVar("T")

log = logging.getLogger(__name__)


# More unknown texts than this are fetched with one recursive read.
_SINGLE_READS = 8
# How often and after which pause to look whether this process's own writes have come as events.
_CATCH_UP_TRIES = 6
_CATCH_UP_S = 0.01
# However many events there are, everything is read again this often.
_READ_AGAIN_S = 5.0


class Registry(MachineRegistry):
    """All that fleet keeps in etcd; Keyspace says what the arguments are."""

    def __init__(
        self,
        etcd: AsyncKeys,
        prefix: str = DEFAULT_PREFIX,
        *,
        on_contact: Callable[[bool], None] | None = None,
    ) -> None:
        super().__init__(etcd, prefix, on_contact=on_contact)
        self._files: dict[str, UnitFile] = {}
        self._built: dict[str, tuple[Job, str, Unit]] = {}
        self._states: dict[tuple[str, str], tuple[str, UnitState]] = {}
        self.jobs = JobMirror(self.key("job"))
        self._told: dict[str, str] = {}  # texts and states that make no sense
        # The units left out of the last list, and why.
        self.unreadable: Mapping[str, str] = {}
        self._read_s = 0.0
        self._written = 0  # the index of this process's last write to a job

    # -- units

    async def units(self, *, from_events: bool = False) -> list[Unit]:
        """Return every readable unit by name, with its placement and heartbeat."""
        return (await self.units_and_orphans(from_events=from_events))[0]

    async def units_and_orphans(
        self, *, from_events: bool = False
    ) -> tuple[list[Unit], dict[str, str]]:
        """Return the units, and the machines of placements whose unit was destroyed meanwhile.

        With `from_events` the last reading and the events since will do.
        """
        jobs = await self._mirrored() if from_events else None
        if jobs is None:
            jobs = await self.read_jobs()
        orphans = {
            name: job.target for name, job in jobs.items() if job.object is None and job.target
        }
        bad: dict[str, str] = {}
        wanted: list[tuple[str, str, str, Job]] = []
        for name in sorted(jobs):
            job = jobs[name]
            if job.object is None:
                continue
            built = self._built.get(name)
            if built is not None and built[0].object == job.object:
                wanted.append((name, built[2].name, built[1], job))
                continue
            try:
                wanted.append((name, *model.decode_job(job.object), job))
            except ValueError as err:
                bad[name] = f"{self.key('job', name, 'object')}: {err}"
        await self._fetch_files({unit_hash for _, _, unit_hash, _ in wanted})
        units = []
        for place, name, unit_hash, job in wanted:
            try:
                units.append(self._unit(place, name, unit_hash, job))
            except BadRecord as err:
                bad[place] = str(err)
        self._complain(bad)
        self._forget_files(jobs)
        return units, orphans

    def _complain(self, bad: dict[str, str]) -> None:
        """Say what cannot be read, once."""
        for name, problem in bad.items():
            if self.unreadable.get(name) != problem:
                log.error("Failed to parse Unit from etcd: %s", problem)
        self.unreadable = bad

    async def read_jobs(self) -> Mapping[str, Job]:
        """Read all jobs, for the mirror as well."""
        key, started_s = self.key("job"), asyncio.get_running_loop().time()
        try:
            result = await self._ask(self.etcd.get(key, recursive=True), quorum=False)
        except StoreError as err:
            if err.code != KEY_NOT_FOUND:
                raise
            self._read_s = started_s
            return self.jobs.read(None, index=err.index, now_s=started_s)
        self._read_s = started_s
        return self.jobs.read(result.node, index=result.etcd_index, now_s=started_s)

    async def _mirrored(self) -> Mapping[str, Job] | None:
        """Return the jobs as events tell, None when these do not come or lag behind."""
        now = asyncio.get_running_loop().time
        for _ in range(_CATCH_UP_TRIES):
            if not self.jobs.is_live or now() >= self._read_s + _READ_AGAIN_S:
                return None
            if self.jobs.index >= self._written:
                return dict(self.jobs.jobs)
            await asyncio.sleep(_CATCH_UP_S)
        self.jobs.expect(self._written, now())
        return None

    async def unit(self, name: str) -> Unit | None:
        """Return one unit, None when there is none; BadRecord when it cannot be read."""
        found = await self._tree("job", name)
        job = job_of(found)
        if job.object is None:
            return None
        try:
            known_as, unit_hash = model.decode_job(job.object)
        except ValueError as err:
            raise BadRecord(f"{name}: {err}") from None
        await self._fetch_files({unit_hash})
        return self._unit(name, known_as, unit_hash, job)

    async def create_unit(self, name: str, file: UnitFile, *, target_state: str) -> None:
        """Store the text, then the job that names it, then what is wanted of it."""
        await self._store_file(file)
        job = model.encode_job(name, file.hash)
        await self._ask(self.etcd.set(self.key("job", name, "object"), job))
        await self.set_target_state(name, target_state)

    async def _store_file(self, file: UnitFile) -> None:
        """Store the text unless it is there; asking first spares a write for every instance."""
        if await self._get("unit", file.hash) is not None:
            return
        text = model.encode_unit(file.serialise())
        try:
            await self._ask(self.etcd.create(self.key("unit", file.hash), text))
        except StoreError as err:
            if err.code != NODE_EXIST:
                raise

    async def set_target_state(self, name: str, state: str) -> None:
        """Write what is wanted of the unit."""
        await self._ask(self.etcd.set(self.key("job", name, "target-state"), state))

    async def destroy_unit(self, name: str) -> bool:
        """Remove the unit; False when there was none."""
        return await self._gone(self.etcd.delete(self.key("job", name), recursive=True))

    async def schedule(self, name: str, machine_id: str) -> None:
        """Place a unit that has no place."""
        await self._ask(self.etcd.create(self.key("job", name, "target"), machine_id))

    async def unschedule(self, name: str, machine_id: str) -> None:
        """Take the unit off that machine; no error when it has no place any more."""
        await self._gone(self.etcd.cad(self.key("job", name, "target"), prev_value=machine_id))

    async def remove_orphan(self, name: str, machine_id: str) -> None:
        """Remove a placement without a unit, and the directory if that was all."""
        await self._gone_if_ours(
            self.etcd.cad(self.key("job", name, "target"), prev_value=machine_id)
        )
        await self._remove_empty("job", name)

    async def move(self, name: str, source: str, target: str) -> bool:
        """Give a placed unit to another machine in one step; False when it is not at `source`."""
        key = self.key("job", name, "target")
        try:
            await self._ask(self.etcd.cas(key, target, prev_value=source))
        except StoreError as err:
            if err.code not in (KEY_NOT_FOUND, TEST_FAILED):
                raise
            return False
        return True

    async def heartbeat(self, name: str, machine_id: str, *, ttl_s: float) -> None:
        """Say that the machine has launched the unit."""
        key = self.key("job", name, "job-state")
        await self._ask(self.etcd.set(key, machine_id, ttl_s=whole_ttl(ttl_s)))

    async def clear_heartbeat(self, name: str, machine_id: str) -> None:
        """Take that back, unless another machine has said so since."""
        await self._gone_if_ours(
            self.etcd.cad(self.key("job", name, "job-state"), prev_value=machine_id)
        )

    def _unit(self, place: str, name: str, unit_hash: str, job: Job) -> Unit:
        built = self._built.get(place)
        if built is not None and built[:2] == (job, unit_hash):
            return built[2]
        if name != place:
            raise BadRecord(f"{self.key('job', place, 'object')}: Name is {name!r}")
        try:
            validate_name(name)
        except UnitNameError as err:
            raise BadRecord(f"{self.key('job', place)}: {err}") from None
        file = self._files.get(unit_hash)
        if file is None:
            raise BadRecord(f"{name}: did not find Unit {unit_hash} in list of all units")
        try:
            state = parse_state(job.target_state or INACTIVE)
        except ValueError as err:
            raise BadRecord(f"failed to parse Unit({name}) target-state: {err}") from None
        if built is not None and built[1] == unit_hash and built[2].name == name:
            wants = built[2].requirements
        else:
            wants = requirements.parse(name, file.options)
        unit = Unit(name, file, wants, state, job.target, job.heartbeat)
        self._built[place] = (job, unit_hash, unit)
        return unit

    async def _fetch_files(self, hashes: Iterable[str]) -> None:
        missing = sorted(set(hashes) - self._files.keys())
        if len(missing) > _SINGLE_READS:
            found = await self._tree("unit", quorum=True)
            for node in children(found):
                self._keep_file(base_name(node), node.value)
            return
        reads = [self._get("unit", unit_hash, quorum=True) for unit_hash in missing]
        for unit_hash, result in zip(missing, await asyncio.gather(*reads), strict=True):
            if result is not None:
                self._keep_file(unit_hash, result.node.value)

    def _keep_file(self, unit_hash: str, text: str) -> None:
        try:
            self._files[unit_hash] = unitfile.parse(model.decode_unit(text))
        except (ValueError, UnitFileError) as err:
            if self._told.get(unit_hash) != text:
                log.error("error parsing Unit(%s): %s", unit_hash, err)
            self._told[unit_hash] = text

    def _forget_files(self, jobs: Mapping[str, Job]) -> None:
        if len(self._built) > len(jobs):
            self._built = {name: built for name, built in self._built.items() if name in jobs}
        used = {unit_hash for _, unit_hash, _ in self._built.values()}
        if len(self._files) > 2 * len(used) + _SINGLE_READS:
            self._files = {key: file for key, file in self._files.items() if key in used}

    # -- published states

    async def states(self) -> dict[tuple[str, str], UnitState]:
        """Return every published state by unit name and machine ID, in that order."""
        found = await self._tree("states")
        known, self._states = self._states, {}
        states: dict[tuple[str, str], UnitState] = {}
        for directory in children(found):
            name = base_name(directory)
            for node in directory.nodes:
                key = (name, base_name(node))
                text, state = known.get(key, ("", None))
                if text != node.value or state is None:
                    state = self._state(name, node)
                if state is not None:
                    states[key] = state
                    self._states[key] = (node.value, state)
        return dict(sorted(states.items()))

    async def states_of(self, name: str) -> dict[str, UnitState]:
        """Return one unit's published states by machine ID."""
        found = await self._tree("states", name)
        states = {base_name(node): self._state(name, node) for node in children(found)}
        return {machine: state for machine, state in sorted(states.items()) if state is not None}

    def _state(self, name: str, node: Node) -> UnitState | None:
        try:
            return model.decode_state(name, node.value)
        except ValueError as err:
            if self._told.get(node.key) != node.value:
                text = "Error unmarshalling UnitState(%s) from Machine(%s): %s"
                log.error(text, name, base_name(node), err)
            self._told[node.key] = node.value
            return None

    async def save_state(self, state: UnitState, *, ttl_s: float) -> None:
        """Publish one state, for readers of the legacy key as well."""
        text = model.encode_state(state)
        keys = (self.key("state", state.name), self.key("states", state.name, state.machine_id))
        writes = [self._ask(self.etcd.set(key, text, ttl_s=whole_ttl(ttl_s))) for key in keys]
        await asyncio.gather(*writes)

    async def remove_state(self, state: UnitState) -> None:
        """Withdraw the state this machine published last, and nobody else's."""
        text = model.encode_state(state)
        await self._gone_if_ours(self.etcd.cad(self.key("state", state.name), prev_value=text))
        await self._gone(self.etcd.delete(self.key("states", state.name, state.machine_id)))
        await self._remove_empty("states", state.name)

    async def forget_state(self, name: str, machine_id: str) -> None:
        """Remove what a machine that is gone said last about a unit."""
        await self._gone(self.etcd.delete(self.key("states", name, machine_id)))
        await self._remove_empty("states", name)

    async def _ask(self, request: Awaitable[T], *, quorum: bool = True) -> T:
        result = await super()._ask(request, quorum=quorum)
        if isinstance(result, Result) and result.action != "get" and self._is_job(result):
            self._written = max(self._written, result.node.modified_index)
        return result

    def _is_job(self, result: Result) -> bool:
        return result.node.key.startswith(self.key("job", ""))
