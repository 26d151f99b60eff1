"""Memory and processor time: what units reserve, what machines have, and whether it fits.

An extension to fleet 1.0.0: `MachineMemory=512M` and `MachineCPU=0.5` in [X-Fleet] reserve for one
unit, a machine publishes what it can give, and nobody places more than that. Memory is counted in
bytes, processor time in thousandths of a processor. Nothing is measured: these are promises. Pure,
and on fleetctl's hot path.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.fleet.job import Machine
    from coreos_py.fleet.requirements import Requirements

MEMORY_KEY = "MachineMemory"
CPU_KEY = "MachineCPU"

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MILLI = 1000
_DIGITS_MAX = 15


def parse_memory(text: str) -> int:
    """Read `512M`, `1.5G` or a number of bytes; K, M, G and T count by 1024."""
    unit = text[-1:].upper()
    try:
        return _scaled(text[:-1], _UNITS[unit]) if unit in _UNITS else _scaled(text, 1)
    except ValueError:
        raise ValueError(f'"{text}" is not an amount of memory such as 512M') from None


def parse_cpu(text: str) -> int:
    """Read `0.5` or `2` processors, as thousandths."""
    try:
        return _scaled(text, _MILLI)
    except ValueError:
        raise ValueError(f'"{text}" is not a number of processors such as 0.5') from None


def _scaled(number: str, scale: int) -> int:
    """Return a plain decimal number times `scale`, rounded up; it must be above zero."""
    whole, _, part = number.partition(".")
    digits = whole + part
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS_MAX:
        raise ValueError
    value: int = -(-int(digits) * scale // 10 ** len(part))
    if value <= 0:
        raise ValueError
    return value


def show_memory(amount: int) -> str:
    """Return bytes as people write them: 512M, 1.5G."""
    for unit in ("T", "G", "M", "K"):
        if amount >= _UNITS[unit]:
            return f"{amount / _UNITS[unit]:.1f}".removesuffix(".0") + unit
    return str(amount)


def show_cpu(amount: int) -> str:
    """Return thousandths of a processor as a decimal number."""
    return f"{amount / _MILLI:g}"


class Ledger:
    """What is reserved on each machine. Units that reserve nothing need not be entered."""

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = machines
        self._used: dict[str, tuple[int, int]] = {}

    def used(self, machine_id: str) -> tuple[int, int]:
        """Return memory and processor time reserved on the machine."""
        return self._used.get(machine_id, (0, 0))

    def add(self, wants: Requirements, machine_id: str) -> None:
        """Enter a unit's reservation, whether it fits or not."""
        memory, cpu = self.used(machine_id)
        self._used[machine_id] = (memory + wants.memory, cpu + wants.cpu)

    def remove(self, wants: Requirements, machine_id: str) -> None:
        """Undo add()."""
        memory, cpu = self.used(machine_id)
        self._used[machine_id] = (memory - wants.memory, cpu - wants.cpu)

    def why_not(self, wants: Requirements, machine_id: str) -> str:
        """Return why a unit that is not entered does not fit, "" when it does."""
        machine, (memory, cpu) = self._machines[machine_id], self.used(machine_id)
        if wants.memory and not machine.memory:
            return "local Machine does not publish its memory"
        if wants.cpu and not machine.cpu:
            return "local Machine does not publish its processors"
        if wants.memory and memory + wants.memory > machine.memory:
            free = show_memory(max(machine.memory - memory, 0))
            return f"insufficient memory: {show_memory(wants.memory)} wanted, {free} free"
        if wants.cpu and cpu + wants.cpu > machine.cpu:
            free = show_cpu(max(machine.cpu - cpu, 0))
            return f"insufficient CPU: {show_cpu(wants.cpu)} wanted, {free} free"
        return ""

    def is_overbooked(self, machine_id: str) -> bool:
        """Tell whether more is reserved than the machine has."""
        machine, (memory, cpu) = self._machines[machine_id], self.used(machine_id)
        return memory > machine.memory > 0 or cpu > machine.cpu > 0
