"""Reservations and cordons: what is read, what fits, and what the scheduler makes of it."""

from __future__ import annotations

import pytest

from coreos_py.base.unitfile import parse
from coreos_py.fleet import requirements, scheduler
from coreos_py.fleet.job import INACTIVE, LAUNCHED, Machine, Unit
from coreos_py.fleet.resources import Ledger, parse_cpu, parse_memory, show_cpu, show_memory

GIB = 1 << 30


def unit(name, text="", *, at="", beats=False, state=LAUNCHED):
    file = parse(f"[X-Fleet]\n{text}\n")
    wants = requirements.parse(name, file.options)
    return Unit(name, file, wants, state, at, at if beats else "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512M", 512 << 20), ("1.5g", 3 << 29), ("4096", 4096), ("1K", 1024), ("2T", 2 << 40)],
)
def test_memory(text, expected):
    assert parse_memory(text) == expected


@pytest.mark.parametrize("text", ["", "M", "0", "-1M", "1 G", "1e3", "1.2.3", "½", "1MB", "9" * 99])
def test_no_memory(text):
    with pytest.raises(ValueError, match="is not an amount of memory such as 512M"):
        parse_memory(text)


@pytest.mark.parametrize(("text", "expected"), [("0.5", 500), ("2", 2000), (".25", 250)])
def test_cpu(text, expected):
    assert parse_cpu(text) == expected
    assert parse_cpu(show_cpu(expected)) == expected


@pytest.mark.parametrize("text", ["", "0", "0.0", "half", "50%", "-1", "1,5"])
def test_no_cpu(text):
    with pytest.raises(ValueError, match=r"is not a number of processors such as 0\.5"):
        parse_cpu(text)


def test_amounts_are_shown_as_people_write_them():
    shown = [show_memory(n) for n in (100, 1024, 512 << 20, 3 << 29, 16 * GIB)]
    assert shown == ["100", "1K", "512M", "1.5G", "16G"]


def test_the_last_word_counts_and_nonsense_reserves_nothing():
    wants = unit("a.service", "MachineMemory=1G\nMachineMemory=2G\nMachineCPU=much").requirements
    assert (wants.memory, wants.cpu, wants.unknown) == (2 * GIB, 0, ())
    assert not unit("b.service", "machinememory=1G").requirements.reserves


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("MachineMemory=lots", 'MachineMemory: "lots" is not an amount of memory such as 512M'),
        ("MachineCPU=50%", None),  # a specifier for all that is known
        ("MachineCPU=half", 'MachineCPU: "half" is not a number of processors such as 0.5'),
        ("MachineMemory=512M\nMachineCPU=0.5\nGlobal=true", None),
    ],
)
def test_creation_is_refused_in_plain_words(text, problem):
    options = parse(f"[X-Fleet]\n{text}\n").options
    if problem is None:
        requirements.check(options)
        return
    with pytest.raises(requirements.RequirementsError) as caught:
        requirements.check(options)
    assert str(caught.value) == problem


def test_a_ledger_knows_what_is_left():
    ledger = Ledger({"m1": Machine("m1", memory=GIB, cpu=1000), "m2": Machine("m2")})
    half = unit("a.service", "MachineMemory=512M\nMachineCPU=0.75").requirements
    assert ledger.why_not(half, "m1") == ""
    ledger.add(half, "m1")
    assert ledger.why_not(half, "m1") == "insufficient CPU: 0.75 wanted, 0.25 free"
    assert not ledger.is_overbooked("m1")
    ledger.add(half, "m1")
    assert ledger.is_overbooked("m1")
    assert ledger.why_not(half, "m1") == "insufficient memory: 512M wanted, 0 free"
    ledger.remove(half, "m1")
    ledger.remove(half, "m1")
    assert ledger.used("m1") == (0, 0)
    assert ledger.why_not(half, "m2") == "local Machine does not publish its memory"


def placed(units, machines):
    found = scheduler.plan(units, machines)
    word = {scheduler.SCHEDULE: "+", scheduler.UNSCHEDULE: "-"}
    return [f"{word[d.type]}{d.unit} {d.machine_id}" for d in found.decisions], dict(found.unplaced)


TWO = [Machine("m1", memory=4 * GIB, cpu=2000), Machine("m2", memory=2 * GIB, cpu=8000)]

PLACEMENTS = {
    "by memory, not by load": (
        [unit("a.service", "MachineMemory=3G"), unit("x.service", at="m1")],
        TWO,
        ["+a.service m1"],
        [],
    ),
    "by processors": ([unit("a.service", "MachineCPU=4")], TWO, ["+a.service m2"], []),
    "until it is full": (
        [unit(f"a{n}.service", "MachineMemory=2G") for n in range(4)],
        TWO,
        ["+a0.service m1", "+a1.service m2", "+a2.service m1"],
        ["a3.service"],
    ),
    "what reserves nothing always fits": (
        [unit("a.service", "MachineMemory=4G", at="m1", beats=True), unit("b.service", at="m1")],
        TWO[:1],
        [],
        [],
    ),
    "a machine that does not tell": (
        [unit("a.service", "MachineMemory=1K"), unit("b.service")],
        [Machine("m1")],
        ["+b.service m1"],
        ["a.service"],
    ),
    "what runs stays though it is too much": (
        [unit(f"a{n}.service", "MachineMemory=3G", at="m1", beats=True) for n in range(2)],
        TWO,
        [],
        [],
    ),
    "what does not run yet goes, whatever its name": (
        [
            unit("a.service", "MachineMemory=2G", at="m1"),
            unit("b.service", "MachineMemory=3G", at="m1", beats=True),
        ],
        TWO,
        ["-a.service m1", "+a.service m2"],
        [],
    ),
    "global units reserve everywhere": (
        [unit("g.service", "Global=1\nMachineMemory=1G"), unit("a.service", "MachineMemory=2G")],
        TWO,
        ["+a.service m1"],
        [],
    ),
    "inactive units reserve nothing": (
        [
            unit("x.service", "MachineMemory=4G", state=INACTIVE),
            unit("a.service", "MachineMemory=4G"),
        ],
        TWO,
        ["+a.service m1"],
        [],
    ),
    "a cordoned machine keeps and gets nothing": (
        [unit("a.service", at="m1"), unit("b.service"), unit("c.service", "MachineOf=a.service")],
        [Machine("m1", is_cordoned=True), Machine("m2")],
        ["+b.service m2"],
        ["c.service"],
    ),
    "all cordoned": (
        [unit("a.service")],
        [Machine("m1", is_cordoned=True)],
        [],
        ["a.service"],
    ),
}


@pytest.mark.parametrize("name", sorted(PLACEMENTS))
def test_placement(name):
    units, machines, expected, unplaced = PLACEMENTS[name]
    decisions, waiting = placed(units, machines)
    assert decisions == expected
    assert sorted(waiting) == unplaced


def test_reasons_name_cordon_and_shortage():
    machines = [
        Machine("m1", is_cordoned=True, memory=8 * GIB),
        Machine("m2", memory=GIB),
        Machine("m3", memory=GIB),
    ]
    units = [unit("a.service", "MachineMemory=2G"), unit("b.service")]
    assert scheduler.explain(units, machines, "a.service") == {
        "m1": "local Machine is cordoned",
        "m2": "insufficient memory: 2G wanted, 1G free",
        "m3": "insufficient memory: 2G wanted, 1G free",
    }
    assert scheduler.reasons(units, machines) == {
        "a.service": "no agents able to run job: local Machine is cordoned;"
        " insufficient memory: 2G wanted, 1G free (2 machines)"
    }
    assert scheduler.reasons(units, []) == {
        "a.service": "zero agents available",
        "b.service": "zero agents available",
    }
