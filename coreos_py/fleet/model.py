"""The JSON texts of the etcd registry, exactly as fleet 1.0.0 writes them, and tolerant readers.

Readers take what Go's decoder takes: unknown fields, any case in names, null for nothing. A text
that does not parse raises ValueError; the registry decides who becomes invisible for it. Pure.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from coreos_py.base import gojson
from coreos_py.fleet.job import UnitState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

HASH_BYTES = 20
ENGINE_VERSION = 1


class Lease(NamedTuple):
    """Who leads the engines, at which version of the engine's logic."""

    machine_id: str
    version: int


class MachineObject(NamedTuple):
    """A machine's own statement, before dynamic metadata is laid over it."""

    id: str
    public_ip: str = ""
    metadata: Mapping[str, str] = {}
    version: str = ""
    memory: int = 0  # what units may reserve; fleet 1.0.0 passes over it
    cpu: int = 0


# -- machines


def encode_machine(machine: MachineObject, *, disable_engine: bool) -> str:
    """The value of machines/ID/object."""
    data: dict[str, Any] = {
        "ID": machine.id,
        "PublicIP": machine.public_ip,
        "Metadata": dict(sorted(machine.metadata.items())),
        "Capabilities": {"DISABLE_ENGINE": disable_engine, "GRPC": False},
        "Version": machine.version,
    }
    if machine.memory or machine.cpu:
        data["Capacity"] = {"Memory": machine.memory, "MilliCPU": machine.cpu}
    return gojson.dumps(data)


def decode_machine(text: str) -> MachineObject:
    """Read machines/ID/object."""
    found = _object(text)
    metadata = field(found, "Metadata", dict)
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("machine metadata is not text")
    capacity = field(found, "Capacity", dict)
    return MachineObject(
        field(found, "ID", str),
        field(found, "PublicIP", str),
        metadata,
        field(found, "Version", str),
        field(capacity, "Memory", int),
        field(capacity, "MilliCPU", int),
    )


def merge_metadata(own: Mapping[str, str], dynamic: Mapping[str, str]) -> dict[str, str]:
    """Lay dynamic metadata over a machine's own; an empty value removes the key."""
    return {key: value for key, value in {**own, **dynamic}.items() if value or key not in dynamic}


# -- units and jobs


def encode_unit(raw: str) -> str:
    """The value of unit/HASH."""
    return gojson.dumps({"Raw": raw})


def decode_unit(text: str) -> str:
    """Read unit/HASH: the unit's text."""
    raw: str = field(_object(text), "Raw", str)
    return raw


def encode_job(name: str, unit_hash: str) -> str:
    """The value of job/NAME/object; the hash is an array of bytes."""
    return gojson.dumps({"Name": name, "UnitHash": list(bytes.fromhex(unit_hash))})


def decode_job(text: str) -> tuple[str, str]:
    """Read job/NAME/object: the unit's name and hex hash."""
    found = _object(text)
    raw = field(found, "UnitHash", list)[:HASH_BYTES]
    if not all(type(byte) is int and 0 <= byte < 256 for byte in raw):
        raise ValueError("UnitHash is not an array of bytes")
    return field(found, "Name", str), bytes(raw).ljust(HASH_BYTES, b"\0").hex()


# -- unit states


def encode_state(state: UnitState) -> str:
    """The value of states/NAME/MACHINE and state/NAME."""
    machine = None
    if state.machine_id:
        machine = {
            "ID": state.machine_id,
            "PublicIP": "",
            "Metadata": None,
            "Capabilities": None,
            "Version": "",
        }
    return gojson.dumps(
        {
            "loadState": state.load,
            "activeState": state.active,
            "subState": state.sub,
            "machineState": machine,
            "unitHash": state.hash,
        }
    )


def decode_state(name: str, text: str) -> UnitState:
    """Read a published state of the unit `name`."""
    found = _object(text)
    return UnitState(
        name,
        field(found, "loadState", str),
        field(found, "activeState", str),
        field(found, "subState", str),
        field(field(found, "machineState", dict), "ID", str),
        field(found, "unitHash", str),
    )


# -- the engine's lease


def encode_lease(lease: Lease) -> str:
    """The value of lease/engine-leader."""
    return gojson.dumps({"MachineID": lease.machine_id, "Version": lease.version})


def decode_lease(text: str) -> Lease:
    """Read lease/engine-leader; engines before versioning wrote the bare machine ID."""
    try:
        found = _object(text)
        return Lease(field(found, "MachineID", str), field(found, "Version", int))
    except ValueError:
        return Lease(text, 0)


# -- reading as Go does


def field(found: Mapping[str, Any], name: str, kind: type) -> Any:
    """Return a field by its name in any case; absent or null is the type's empty value."""
    value = found.get(name)
    if value is None:
        folded = name.lower()
        value = next((v for k, v in found.items() if v is not None and k.lower() == folded), None)
    if value is None:
        return kind()
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} is not of type {kind.__name__}")
    return value


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found
