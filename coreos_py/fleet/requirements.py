"""[X-Fleet]: what a unit asks of the machine it runs on, and which demands exclude each other.

Mirrors job/job.go and api/units.go of fleet 1.0.0, legacy spellings included. Values keep the order
they were written in. Pure.
"""

from __future__ import annotations

from coreos_py.base.unitfile import (
    SPACES,
    NameInfo,
    UnitFileError,
    check_options,
    name_info,
    split_words,
)
from coreos_py.fleet.gomatch import matches
from coreos_py.fleet.resources import CPU_KEY, MEMORY_KEY, parse_cpu, parse_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from coreos_py.base.unitfile import Option

SECTION = "X-Fleet"
KNOWN = (
    "MachineID",
    "X-ConditionMachineID",
    "X-ConditionMachineBootID",
    "X-ConditionMachineOf",
    "MachineOf",
    "X-Conflicts",
    "Conflicts",
    "X-ConditionMachineMetadata",
    "MachineMetadata",
    "Global",
    "Replaces",
    # ours
    MEMORY_KEY,
    CPU_KEY,
)
TRUE_WORDS = frozenset({"true", "yes", "1", "on", "t"})


class Requirements:
    """One unit's demands with specifiers expanded; `machine_id` None means any machine.

    A plain class, because fleetctl's start-up time has no room for `typing`.
    """

    __slots__ = (
        "conflicts",
        "cpu",
        "is_global",
        "machine_id",
        "memory",
        "metadata",
        "peers",
        "replaces",
        "unknown",
    )

    def __init__(
        self,
        *,
        machine_id: str | None = None,
        peers: tuple[str, ...] = (),
        conflicts: tuple[str, ...] = (),
        replaces: tuple[str, ...] = (),
        metadata: Mapping[str, frozenset[str]] | None = None,
        is_global: bool = False,
        memory: int = 0,
        cpu: int = 0,
        unknown: tuple[str, ...] = (),
    ) -> None:
        self.machine_id = machine_id
        self.peers = peers
        self.conflicts = conflicts
        self.replaces = replaces
        self.metadata: Mapping[str, frozenset[str]] = metadata or {}
        self.is_global = is_global
        self.memory = memory  # bytes reserved
        self.cpu = cpu  # thousandths of a processor reserved
        self.unknown = unknown

    @property
    def reserves(self) -> bool:
        """Tell whether the unit asks for a part of the machine for itself."""
        return bool(self.memory or self.cpu)


NOTHING = Requirements()


class RequirementsError(ValueError):
    """The demands contradict each other; str() is fleet 1.0.0's text."""


def parse(name: str, options: Iterable[Option]) -> Requirements:
    """Read the demands of the unit `name`; with an empty name specifiers stay as they are."""
    values = _values(name, options)
    if not values:
        return NOTHING
    return Requirements(
        machine_id=_machine_id(values),
        peers=(*values.get("X-ConditionMachineOf", ()), *values.get("MachineOf", ())),
        conflicts=tuple(
            pattern
            for key in ("X-Conflicts", "Conflicts")
            for value in values.get(key, ())
            for pattern in _fields(value)
        ),
        replaces=tuple(values.get("Replaces", ())),
        metadata=_metadata(values),
        is_global=_is_true(values.get("Global", ())),
        memory=_amount(values.get(MEMORY_KEY, ()), parse_memory),
        cpu=_amount(values.get(CPU_KEY, ()), parse_cpu),
        unknown=tuple(key for key in values if key not in KNOWN),
    )


def check(options: Sequence[Option]) -> None:
    """Raise RequirementsError when a new unit with these options could never be placed.

    As in fleet 1.0.0 the unit's name is not known here, so `%i` is compared as it stands.
    """
    try:
        check_options(options)
    except UnitFileError as err:
        raise RequirementsError(str(err)) from None
    wants = parse("", options)
    for peer in wants.peers:
        for noun, patterns in (("conflict", wants.conflicts), ("replace", wants.replaces)):
            for pattern in patterns:
                if matches(pattern, peer):
                    raise RequirementsError(
                        f'unresolvable requirements: peer "{peer}" matches {noun} "{pattern}"'
                    )
    for first, second in _exclusive(wants):
        raise RequirementsError(f"{first} cannot be used with {second}")
    _check_amounts(options)


def _check_amounts(options: Iterable[Option]) -> None:
    values = _values("", options)
    for key, read in ((MEMORY_KEY, parse_memory), (CPU_KEY, parse_cpu)):
        for word in values.get(key, ()):
            try:
                if "%" not in word:  # a specifier, not expanded here
                    read(word)
            except ValueError as err:
                raise RequirementsError(f"{key}: {err}") from None


def _exclusive(wants: Requirements) -> Iterable[tuple[str, str]]:
    table = (
        ("MachineID", wants.machine_id is not None, "Peers", bool(wants.peers)),
        ("MachineID", wants.machine_id is not None, "Conflicts", bool(wants.conflicts)),
        ("MachineID", wants.machine_id is not None, "Global", wants.is_global),
        ("MachineID", wants.machine_id is not None, "Replaces", bool(wants.replaces)),
        ("Global", wants.is_global, "Peers", bool(wants.peers)),
        ("Global", wants.is_global, "Replaces", bool(wants.replaces)),
        ("Conflicts", bool(wants.conflicts), "Replaces", bool(wants.replaces)),
    )
    return ((one, two) for one, has_one, two, has_two in table if has_one and has_two)


def _values(name: str, options: Iterable[Option]) -> dict[str, list[str]]:
    info = name_info(name)
    values: dict[str, list[str]] = {}
    for section, key, value in options:
        if section == SECTION:
            words = split_words(value)
            if info is not None:
                words = [expand(word, info) for word in words]
            values.setdefault(key, []).extend(words)
    return values


def expand(text: str, info: NameInfo) -> str:
    """Return the text with the specifiers that fleet knows replaced."""
    # Four plain replacements, one after the other: %% is not an escape.
    if "%" not in text:
        return text
    text = text.replace("%n", info.full_name).replace("%N", info.name)
    return text.replace("%p", info.prefix).replace("%i", info.instance)


def _machine_id(values: Mapping[str, Sequence[str]]) -> str | None:
    for key in ("MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID"):
        if values.get(key):
            return values[key][0]
    return None


def _metadata(values: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for spelling in ("X-ConditionMachineMetadata", "MachineMetadata"):
        for pair in values.get(spelling, ()):
            key, _, value = pair.partition("=")
            if key and value and "=" not in value:
                found[key] = found.get(key, frozenset()) | {value}
    return found


def _amount(words: Sequence[str], read: Callable[[str], int]) -> int:
    """Return what the last word says; one that makes no sense reserves nothing."""
    try:
        return read(words[-1]) if words else 0
    except ValueError:
        return 0


def _is_true(words: Sequence[str]) -> bool:
    return bool(words) and words[-1].lower() in TRUE_WORDS


def _fields(value: str) -> list[str]:
    """Split at white space as Go's strings.Fields does."""
    for space in SPACES:
        if space != " " and space in value:
            value = value.replace(space, " ")
    return [word for word in value.split(" ") if word]
