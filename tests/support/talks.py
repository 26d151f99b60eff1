"""What a walk through machines has to print: text with places for what differs from run to run.

A pattern is compared line by line. In it stand for

    <id NAME> <machine NAME>    a machine's id, short or in full
    <ip NAME> <host NAME>       its address, its host name
    <net>                       the first three octets of all addresses
    <n> <hex> <date> <text>     a number, hexadecimal digits, a time, anything

and a line of three dots for any lines. NAME is a host name, or stands for a machine: a capital in
the whole text, a small letter in one step, a digit in the answer to one command, and different ones
of a kind for different machines; `*` for any, the same in the whole line.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PLACE = re.compile(r"<(id|machine|ip|host) ([\w-]+|\*)>|<(net|n|hex|date|text)>")
_OWN = {"id": r"[0-9a-f]{8}", "machine": r"[0-9a-f]{32}", "ip": r"[0-9.]+", "host": r"core-\d+"}
_ANY = {
    "n": r"\d+",
    "hex": r"[0-9a-f]+",
    "date": r"(?:\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT|\d{4}-\d\d-\d\dT[\d:.]+Z"
    r"|\d{4}/\d\d/\d\d [\d:]{8})",
    "text": r".*?",
}
_STEP = "==> "
_COMMAND = ("core@", "-- ", _STEP)


class Machine(NamedTuple):
    """One machine as it is written in different places."""

    machine: str
    ip: str
    host: str

    @property
    def id(self) -> str:
        return self.machine[:8]


def check(said: str, pattern: str, machines: list[Machine]) -> None:
    """AssertionError at the first line of `said` that the pattern does not allow."""
    found = said.splitlines()
    reader = _Reader(machines)
    at = 0
    skipping = False
    for number, expected in enumerate(pattern.splitlines(), start=1):
        if expected == "...":
            skipping = True
            continue
        while not (at < len(found) and reader.fits(expected, found[at])):
            shown = "\n".join(found[max(0, at - 3) : at + 3])
            more = skipping and at < len(found)
            assert more, f"line {number}: no {expected!r} in:\n{shown}"
            at += 1
        at += 1
        skipping = False
    assert skipping or at == len(found), f"more than expected:\n{chr(10).join(found[at:])}"


class _Reader:
    def __init__(self, machines: list[Machine]) -> None:
        self._machines = machines
        self._named: dict[str, Machine] = {machine.host: machine for machine in machines}

    def fits(self, expected: str, line: str) -> bool:
        """Whether the line is as expected; binds the names in it if so."""
        names: list[tuple[str, str]] = []
        form, end = "", 0
        for place in _PLACE.finditer(expected):
            form += re.escape(expected[end : place.start()])
            end = place.end()
            if place[1]:
                names.append((place[1], place[2]))
                form += f"({_OWN[place[1]]})"
            else:
                form += self._net() if place[3] == "net" else _ANY[place[3]]
        match = re.fullmatch(form + re.escape(expected[end:]), line)
        if match is None:
            return False
        named = {name: m for name, m in self._named.items() if _holds(name, line)}
        for (kind, name), text in zip(names, match.groups(), strict=True):
            machine = next((m for m in self._machines if getattr(m, kind) == text), None)
            if machine is None or named.setdefault(name, machine) != machine:
                return False
        for kind_of in (str.isupper, str.islower, str.isdigit):
            bound = [machine for name, machine in named.items() if len(name) == 1 and kind_of(name)]
            if len(set(bound)) != len(bound):
                return False
        self._named = named
        return True

    def _net(self) -> str:
        return re.escape(self._machines[0].ip.rpartition(".")[0])


def _holds(name: str, line: str) -> bool:
    """Whether what a name stood for until `line` still counts in it."""
    if name.isdigit():
        return not line.startswith(_COMMAND)
    return name != "*" and not (len(name) == 1 and name.islower() and line.startswith(_STEP))
