"""What a machine has for units to reserve, when the configuration does not say."""

from __future__ import annotations

import os

_MEMINFO = "/proc/meminfo"


def memory() -> int:
    """Return the machine's memory in bytes, 0 when it cannot be found out."""
    try:
        with open(_MEMINFO, encoding="ascii") as file:
            return total_memory(file.read())
    except OSError:
        return 0


def total_memory(meminfo: str) -> int:
    """Return MemTotal of the kernel's table in bytes."""
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == "MemTotal" and words and words[0].isdecimal():
            return int(words[0]) << 10
    return 0


def processors() -> int:
    """Return the processors this process may use, in thousandths."""
    return len(os.sched_getaffinity(0)) * 1000
