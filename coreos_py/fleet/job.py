"""The nouns of fleet: units as the registry holds them, machines, and what agents report.

Field names follow fleet 1.0.0's job, machine and unit packages. Small frozen records that travel
between the registry and the pure parts. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.base.unitfile import UnitFile
    from coreos_py.fleet.requirements import Requirements

INACTIVE = "inactive"
LOADED = "loaded"
LAUNCHED = "launched"
STATES = (INACTIVE, LOADED, LAUNCHED)

SHORT_ID_CHARS = 8


class Unit(NamedTuple):
    """One unit of the registry: what it is, what is wanted of it, and where it is placed."""

    name: str
    file: UnitFile
    requirements: Requirements
    target_state: str = INACTIVE
    machine_id: str = ""  # the target machine, "" when not placed
    heartbeat: str = ""  # the machine that says it launched the unit

    @property
    def is_global(self) -> bool:
        """Tell whether the unit runs on every machine that fits."""
        return self.requirements.is_global


class Machine(NamedTuple):
    """One machine as everybody sees it: static and dynamic metadata are merged already."""

    id: str
    public_ip: str = ""
    metadata: Mapping[str, str] = {}
    version: str = ""
    # What fleet 1.0.0 does not know: how much there is to reserve (0: not told), and that no new
    # unit shall come here.
    memory: int = 0  # bytes
    cpu: int = 0  # thousandths of a processor
    is_cordoned: bool = False


class UnitState(NamedTuple):
    """What one machine's unit manager says about one unit."""

    name: str
    load: str
    active: str
    sub: str
    machine_id: str = ""
    hash: str = ""


def parse_state(text: str) -> str:
    """Return the job state, or raise ValueError with fleet 1.0.0's text."""
    if text not in STATES:
        raise ValueError(f'invalid value "{text}" for JobState')
    return text


def current_state(unit: Unit, *, has_state: bool) -> str:
    """Derive the current state of a placed unit; `has_state`: its machine publishes a state."""
    if not unit.machine_id or not has_state:
        return INACTIVE
    return LAUNCHED if unit.heartbeat == unit.machine_id else LOADED


def match_id(machine_id: str, wanted: str) -> bool:
    """Tell whether `wanted` is the machine's full ID or exactly its short form."""
    return wanted in (machine_id, machine_id[:SHORT_ID_CHARS])


def has_metadata(metadata: Mapping[str, str], required: Mapping[str, frozenset[str]]) -> bool:
    """Tell whether every required key has one of its accepted values."""
    return all(metadata.get(key) in values for key, values in required.items())
