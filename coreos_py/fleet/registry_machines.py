"""The machines and the engines in fleet's registry, as records.

Mirrors registry/machine.go, lease.go and version.go of fleet 1.0.0, and has keys that it does not
look at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import KEY_NOT_FOUND, NODE_EXIST, StoreError
from coreos_py.fleet import model
from coreos_py.fleet.job import Machine
from coreos_py.fleet.keyspace import BadRecord, Keyspace, base_name, children, whole_ttl
from coreos_py.fleet.model import Lease, MachineObject

if TYPE_CHECKING:
    from coreos_py.etcdclient.model import Node, Result

LEASE_NAME = "engine-leader"
CORDON_NAME = "x-cordon"


class HeldLease(NamedTuple):
    """A lease as found in or written to etcd."""

    lease: Lease
    modified_index: int
    ttl_s: float


class MachineRegistry(Keyspace):
    """Who is in the cluster, who schedules, and how machines are reached."""

    # -- machines

    async def machines(self) -> list[Machine]:
        """Return the living machines by ID; one object that does not parse fails the list."""
        found = await self._tree("machines", sort=True)
        machines = [_machine(node) for node in children(found)]
        return [machine for machine in machines if machine.id]

    async def machine(self, machine_id: str) -> Machine | None:
        """Return one living machine."""
        found = await self._tree("machines", machine_id)
        machine = None if found is None else _machine(found)
        return machine if machine is not None and machine.id else None

    async def create_machine(
        self, machine: MachineObject, *, ttl_s: float, disable_engine: bool = False
    ) -> int:
        """Register a machine whose key must not exist; return the key's index."""
        text = model.encode_machine(machine, disable_engine=disable_engine)
        key = self.key("machines", machine.id, "object")
        result = await self._ask(self.etcd.create(key, text, ttl_s=whole_ttl(ttl_s)))
        return result.node.modified_index

    async def own_registration(
        self, machine: MachineObject, *, disable_engine: bool = False
    ) -> int:
        """Return the index of the machine's key if it says just what this machine says, else 0."""
        found = await self._get("machines", machine.id, "object", quorum=True)
        text = model.encode_machine(machine, disable_engine=disable_engine)
        return found.node.modified_index if found and found.node.value == text else 0

    async def take_over_machine(
        self, machine: MachineObject, *, index: int, ttl_s: float, disable_engine: bool = False
    ) -> int:
        """Go on with the registration that this machine wrote last, at `index`."""
        text = model.encode_machine(machine, disable_engine=disable_engine)
        key = self.key("machines", machine.id, "object")
        result = await self._ask(self.etcd.cas(key, text, prev_index=index, ttl_s=whole_ttl(ttl_s)))
        return result.node.modified_index

    async def set_machine(
        self, machine: MachineObject, *, ttl_s: float, disable_engine: bool = False
    ) -> tuple[int, int]:
        """Refresh the registration, or register anew when it has expired.

        Return the key's index, and the one it had before: 0 when there was no key.
        """
        text = model.encode_machine(machine, disable_engine=disable_engine)
        key = self.key("machines", machine.id, "object")
        try:
            result = await self._ask(self.etcd.update(key, text, ttl_s=whole_ttl(ttl_s)))
        except StoreError as err:
            if err.code != KEY_NOT_FOUND:
                raise
            result = await self._ask(self.etcd.create(key, text, ttl_s=whole_ttl(ttl_s)))
        before = 0 if result.prev_node is None else result.prev_node.modified_index
        return result.node.modified_index, before

    async def remove_machine(self, machine_id: str) -> None:
        """Take the machine off the list; its dynamic metadata stays."""
        await self._gone(self.etcd.delete(self.key("machines", machine_id, "object")))

    async def set_metadata(self, machine_id: str, key: str, value: str) -> None:
        """Overlay one metadata value; "" hides the machine's own."""
        await self._ask(self.etcd.set(self.key("machines", machine_id, "metadata", key), value))

    # Extensions that fleet 1.0.0 does not look at: that a machine gets nothing new, and where a
    # machine's own API answers.

    async def cordon(self, machine_id: str) -> None:
        """Keep new units off the machine until uncordon(), even over its restarts."""
        await self._ask(self.etcd.set(self.key("machines", machine_id, CORDON_NAME), "cordoned"))

    async def uncordon(self, machine_id: str) -> bool:
        """Allow new units again; False when they were allowed."""
        return await self._gone(self.etcd.delete(self.key("machines", machine_id, CORDON_NAME)))

    async def announce_api(self, machine_id: str, url: str, *, ttl_s: float) -> None:
        """Say where the machine's API can be reached from other machines."""
        await self._ask(self.etcd.set(self._api_key(machine_id), url, ttl_s=whole_ttl(ttl_s)))

    async def withdraw_api(self, machine_id: str) -> None:
        """Take that back."""
        await self._gone(self.etcd.delete(self._api_key(machine_id)))

    async def api_of(self, machine_id: str) -> str:
        """Return where the machine's API can be reached, "" when it did not say."""
        found = await self._get("machines", machine_id, "x-api")
        return "" if found is None else found.node.value

    def _api_key(self, machine_id: str) -> str:
        return self.key("machines", machine_id, "x-api")

    # -- the engines

    async def engine_version(self) -> int:
        """Return the version of the engine logic in force, 0 when none was set."""
        found = await self._get("engine", "version")
        if found is None:
            return 0
        try:
            return int(found.node.value)
        except ValueError:
            raise BadRecord(f"engine version is {found.node.value!r}") from None

    async def raise_engine_version(self, old: int, new: int) -> None:
        """Put a newer version in force, unless somebody else was faster."""
        key = self.key("engine", "version")
        try:
            await self._ask(self.etcd.cas(key, str(new), prev_value=str(old)))
        except StoreError as err:
            if err.code != KEY_NOT_FOUND:
                raise
            await self._ask(self.etcd.create(key, str(new)))

    async def lease(self) -> HeldLease | None:
        """Return the lease in force; asked of a quorum, so that every engine notices an outage."""
        found = await self._get("lease", LEASE_NAME, quorum=True)
        return None if found is None else _held(found)

    async def acquire_lease(self, lease: Lease, *, ttl_s: float) -> HeldLease | None:
        """Take a free lease; None when somebody was faster."""
        key, text = self.key("lease", LEASE_NAME), model.encode_lease(lease)
        try:
            return _held(await self._ask(self.etcd.create(key, text, ttl_s=whole_ttl(ttl_s))))
        except StoreError as err:
            if err.code != NODE_EXIST:
                raise
            return None

    async def renew_lease(self, held: HeldLease, lease: Lease, *, ttl_s: float) -> HeldLease:
        """Renew one's own lease, or steal an older engine's; StoreError when it has changed."""
        key, text = self.key("lease", LEASE_NAME), model.encode_lease(lease)
        cas = self.etcd.cas(key, text, prev_index=held.modified_index, ttl_s=whole_ttl(ttl_s))
        return _held(await self._ask(cas))

    async def release_lease(self, held: HeldLease) -> None:
        """Give one's own lease up."""
        key = self.key("lease", LEASE_NAME)
        await self._gone(self.etcd.cad(key, prev_index=held.modified_index))


def _values(directory: Node) -> dict[str, str]:
    return {base_name(node): node.value for node in directory.nodes if not node.dir}


def _machine(directory: Node) -> Machine:
    own = MachineObject("")
    dynamic: dict[str, str] = {}
    is_cordoned = False
    for node in directory.nodes:
        if base_name(node) == "object":
            try:
                own = model.decode_machine(node.value)
            except ValueError as err:
                raise BadRecord(f"machine {base_name(directory)}: {err}") from None
        elif base_name(node) == "metadata":
            dynamic = _values(node)
        elif base_name(node) == CORDON_NAME:
            is_cordoned = True
    metadata = model.merge_metadata(own.metadata, dynamic)
    return Machine(own.id, own.public_ip, metadata, own.version, own.memory, own.cpu, is_cordoned)


def _held(result: Result) -> HeldLease:
    return HeldLease(
        model.decode_lease(result.node.value), result.node.modified_index, float(result.node.ttl)
    )
