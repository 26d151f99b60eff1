"""Drain, rebalance and rollout: what the pure planners choose, as tables and as properties."""

from __future__ import annotations

import random

import pytest

from coreos_py.base.unitfile import parse
from coreos_py.fleet import drain, rebalance, requirements, scheduler
from coreos_py.fleet.board import Board, Move, Stuck, natural
from coreos_py.fleet.job import LAUNCHED, Machine, Unit
from coreos_py.fleet.rollout import DONE, UNDER_WAY, Seen, Tracker, turn

GIB = 1 << 30


def unit(name, text="", *, at="", state=LAUNCHED, beats=True):
    file = parse(f"[X-Fleet]\n{text}\n")
    wants = requirements.parse(name, file.options)
    return Unit(name, file, wants, state, at, at if beats else "")


def machines(*ids, **fields):
    return [Machine(machine_id, **fields) for machine_id in ids]


def shown(step):
    moves = [f"{'+'.join(m.units)} {m.source}>{m.target}" for m in step.moves]
    for stuck in step.stuck:
        reasons = " | ".join(f"{machine_id}: {why}" for machine_id, why in stuck.reasons)
        moves.append(f"{'+'.join(stuck.units)} stays on {stuck.source} [{reasons}]")
    return moves


DRAINS = {
    "nothing there": ([unit("a.service", at="m2")], machines("m1", "m2"), 1, []),
    "one by one": (
        [unit("a.service", at="m1"), unit("b.service", at="m1")],
        machines("m1", "m2"),
        1,
        ["a.service m1>m2"],
    ),
    "two by two, spread, 2 before 10": (
        [unit(f"w@{n}.service", at="m1") for n in (10, 2, 1)],
        machines("m1", "m2", "m3"),
        2,
        ["w@1.service m1>m2", "w@2.service m1>m3"],
    ),
    "to the least loaded": (
        [unit("a.service", at="m1"), unit("x.service", at="m2")],
        machines("m1", "m2", "m3"),
        1,
        ["a.service m1>m3"],
    ),
    "a conflict keeps it away": (
        [unit("w@1.service", "Conflicts=w@*", at="m1"), unit("w@2.service", at="m2")],
        machines("m1", "m2"),
        1,
        ["w@1.service stays on m1 [m2: found conflict with locally-scheduled Unit([w@2.service])]"],
    ),
    "what is stuck does not hold up the rest": (
        [unit("a.service", "MachineID=m1", at="m1"), unit("b.service", at="m1")],
        machines("m1", "m2"),
        1,
        [
            "b.service m1>m2",
            'a.service stays on m1 [m2: agent ID "m2" does not match required "m1"]',
        ],
    ),
    "a group goes together, peers first, larger than the limit": (
        [
            unit("b.service", "MachineOf=z.service", at="m1"),
            unit("a.service", "MachineOf=b.service", at="m1"),
            unit("z.service", at="m1"),
        ],
        machines("m1", "m2"),
        1,
        ["z.service+b.service+a.service m1>m2"],
    ),
    "a group whose follower cannot go stays": (
        [
            unit("a.service", at="m1"),
            unit("s.service", "MachineOf=a.service\nMachineMetadata=disk=ssd", at="m1"),
        ],
        [Machine("m1", metadata={"disk": "ssd"}), Machine("m2")],
        1,
        ["a.service+s.service stays on m1 [m2: s.service: local Machine metadata insufficient]"],
    ),
    "global units are not touched": (
        [unit("g.service", "Global=true"), unit("a.service", at="m1")],
        machines("m1", "m2"),
        5,
        ["a.service m1>m2"],
    ),
    "a cordoned machine takes nothing": (
        [unit("a.service", at="m1")],
        [Machine("m1"), Machine("m2", is_cordoned=True)],
        1,
        ["a.service stays on m1 [m2: local Machine is cordoned]"],
    ),
    "memory counts": (
        [unit("a.service", "MachineMemory=3G", at="m1"), unit("b.service", at="m1")],
        [Machine("m1", memory=4 * GIB), Machine("m2", memory=2 * GIB)],
        2,
        [
            "b.service m1>m2",
            "a.service stays on m1 [m2: insufficient memory: 3G wanted, 2G free]",
        ],
    ),
    "the only machine": (
        [unit("a.service", at="m1")],
        machines("m1"),
        1,
        ["a.service stays on m1 []"],
    ),
}


@pytest.mark.parametrize("name", sorted(DRAINS))
def test_drain(name):
    units, there, at_once, expected = DRAINS[name]
    assert shown(drain.step(units, there, {"m1"}, at_once=at_once)) == expected


def test_drain_counts_what_is_on_its_way():
    units = [unit("a.service", at="m2"), unit("b.service", at="m1"), unit("c.service", at="m1")]
    there = machines("m1", "m2")
    assert drain.step(units, there, {"m1"}, at_once=1, busy={"a.service"}).moves == ()
    (move,) = drain.step(units, there, {"m1"}, at_once=2, busy={"a.service"}).moves
    assert move == Move(("b.service",), "m1", "m2")


def test_two_machines_are_not_drained_into_each_other():
    units = [unit("a.service", at="m1"), unit("b.service", at="m2")]
    step = drain.step(units, machines("m1", "m2", "m3"), {"m1", "m2"}, at_once=9)
    assert shown(step) == ["a.service m1>m3", "b.service m2>m3"]


REBALANCES = {
    "even already": ([unit("a.service", at="m1")], machines("m1", "m2"), []),
    "a machine came back": (
        [unit(f"w@{n}.service", at="m1") for n in range(4)],
        machines("m1", "m2"),
        ["w@0.service m1>m2", "w@1.service m1>m2"],
    ),
    "a difference of one is no reason": (
        [unit("a.service", at="m1"), unit("b.service", at="m1"), unit("c.service", at="m2")],
        machines("m1", "m2"),
        [],
    ),
    "what may not move does not": (
        [
            unit("a.service", "MachineID=m1", at="m1"),
            unit("b.service", "MachineMetadata=disk=ssd", at="m1"),
            unit("c.service", at="m1"),
        ],
        [Machine("m1", metadata={"disk": "ssd"}), Machine("m2")],
        ["c.service m1>m2"],
    ),
    "conflicts hold": (
        [unit(f"w@{n}.service", "Conflicts=w@*", at=f"m{n}") for n in (1, 2)]
        + [unit(f"v{n}.service", at="m1") for n in range(2)],
        machines("m1", "m2"),
        ["v0.service m1>m2"],
    ),
    "single units before groups": (
        [
            unit("a.service", at="m1"),
            unit("s.service", "MachineOf=a.service", at="m1"),
            unit("z.service", at="m1"),
        ],
        machines("m1", "m2"),
        ["z.service m1>m2"],
    ),
    "a group that is worth it": (
        [
            unit("a.service", at="m1"),
            unit("s.service", "MachineOf=a.service", at="m1"),
            unit("y.service", "MachineID=m1", at="m1"),
            unit("z.service", "MachineID=m1", at="m1"),
        ],
        machines("m1", "m2"),
        ["a.service+s.service m1>m2"],
    ),
    "cordoned machines are left alone": (
        [unit(f"w@{n}.service", at="m1") for n in range(4)],
        [Machine("m1", is_cordoned=True), Machine("m2")],
        [],
    ),
    "overbooked machines first": (
        [
            unit("big.service", "MachineMemory=3G", at="m1"),
            unit("fat.service", "MachineMemory=2G", at="m1"),
            unit("c.service", at="m2"),
        ],
        [Machine("m1", memory=4 * GIB), Machine("m2", memory=4 * GIB)],
        ["big.service m1>m2"],
    ),
}


@pytest.mark.parametrize("name", sorted(REBALANCES))
def test_rebalance(name):
    units, there, expected = REBALANCES[name]
    moves = rebalance.plan(units, there)
    assert [f"{'+'.join(m.units)} {m.source}>{m.target}" for m in moves] == expected
    if expected:
        assert rebalance.plan(units, there, max_moves=1) == moves[:1]


def _random_cluster(rng):
    ids = [f"m{n}" for n in range(rng.randint(2, 6))]
    there = [
        Machine(i, metadata={"disk": rng.choice(("ssd", "hdd"))}, memory=8 * GIB, cpu=4000)
        for i in ids
    ]
    texts = ["", "", "Conflicts=c*", "MachineMetadata=disk=ssd", "MachineMemory=2G", "MachineCPU=1"]
    units = []
    for number in range(rng.randint(1, 25)):
        prefix = rng.choice("abc")
        units.append(unit(f"{prefix}{number}.service", rng.choice(texts)))
    for number in range(3):
        peer = rng.choice(units).name
        units.append(unit(f"s{number}.service", f"MachineOf={peer}"))
    placed = {
        d.unit: d.machine_id
        for d in scheduler.plan(units, there).decisions
        if d.type == scheduler.SCHEDULE
    }
    return [u._replace(machine_id=placed.get(u.name, "")) for u in units], there


def _after(units, moves):
    gone = {name: move.target for move in moves for name in move.units}
    return [u._replace(machine_id=gone.get(u.name, u.machine_id)) for u in units]


@pytest.mark.parametrize("seed", range(60))
def test_moves_leave_a_cluster_that_the_engine_leaves_alone(seed):
    rng = random.Random(seed)
    units, there = _random_cluster(rng)
    before = {m.id: sum(u.machine_id == m.id for u in units) for m in there}
    moves = rebalance.plan(units, there)
    after = _after(units, moves)
    counts = {m.id: sum(u.machine_id == m.id for u in after) for m in there}
    assert sum(n * n for n in counts.values()) <= sum(n * n for n in before.values())
    assert rebalance.plan(after, there) == [] or len(moves) > 0
    step = drain.step(units, there, {"m0"}, at_once=1000)
    drained = _after(units, step.moves)
    for moved in (after, drained):
        plan = scheduler.plan(moved, there)
        assert [d for d in plan.decisions if d.type == scheduler.UNSCHEDULE] == []
    left = {u.name for u in drained if u.machine_id == "m0"}
    assert left == {name for stuck in step.stuck for name in stuck.units}


def test_a_board_is_as_before_after_looking():
    units = [unit("a.service", at="m1"), unit("s.service", "MachineOf=a.service", at="m1")]
    board = Board(units, machines("m1", "m2"))
    for _ in range(2):
        assert board.groups("m1") == [("a.service", "s.service")]
        assert isinstance(board.find(("a.service", "s.service"), "m1"), Move)
        assert (board.load("m1"), board.load("m2")) == (2, 0)
    only = Board(units, machines("m1"))
    assert isinstance(only.find(("a.service", "s.service"), "m1"), Stuck)


def test_numbers_sort_as_numbers():
    names = ["w@10.service", "w@9.service", "a1b2.service", "a1b10.service"]
    expected = ["a1b2.service", "a1b10.service", "w@9.service", "w@10.service"]
    assert sorted(names, key=natural) == expected


# -- watching


UP = Seen(True, True, "active", "running")
FAILED = Seen(True, True, "failed", "failed")
RETRYING = Seen(True, True, "activating", "auto-restart")
ELSEWHERE = Seen()
ENDED = Seen(True, True, "inactive", "dead", True)
UNSTARTED = Seen(True, False, "inactive", "dead", True)

# Seconds and what is seen then; the verdict at the end.
WATCHES = {
    "active and stays": ([(0, ELSEWHERE), (1, UP), (6, UP)], DONE),
    "not long enough yet": ([(0, UP), (4.9, UP)], UNDER_WAY),
    "fails after it was up": ([(1, UP), (2, FAILED)], "it did not stay active: failed (failed)"),
    "restarts by itself": (
        [(1, UP), (2, RETRYING)],
        "it did not stay active: activating (auto-restart)",
    ),
    "a failure from before": ([(0, FAILED), (2, FAILED), (2.5, UP), (8, UP)], DONE),
    "fails and stays so": ([(0, FAILED), (3, FAILED)], "it failed (failed)"),
    "never comes": ([(0, ELSEWHERE), (30, ELSEWHERE)], "not active after 30 s: not there"),
    "never gets up": ([(1, RETRYING), (31, RETRYING)], "not active after 30 s: activating (auto-"),
    "a oneshot that ended": ([(0, UNSTARTED), (1, ENDED)], DONE),
    "a oneshot that has not begun": ([(0, UNSTARTED), (1, UNSTARTED)], UNDER_WAY),
}


@pytest.mark.parametrize("name", sorted(WATCHES))
def test_watch(name):
    seen, expected = WATCHES[name]
    tracker = Tracker(settle_s=5.0, timeout_s=30.0)
    tracker.begin("a.service", 0.0, needs_active=True)
    *before, (last_s, last) = seen
    for now_s, what in before:
        assert tracker.look("a.service", what, now_s) == UNDER_WAY
    verdict = tracker.look("a.service", last, last_s)
    assert verdict == expected or (expected and verdict.startswith(expected))
    assert tracker.under_way == ([] if verdict else ["a.service"])


def test_what_was_down_only_has_to_be_there():
    tracker = Tracker(settle_s=5.0, timeout_s=30.0)
    tracker.begin("a.service", 0.0, needs_active=False)
    assert tracker.look("a.service", ELSEWHERE, 1.0) == UNDER_WAY
    assert tracker.look("a.service", FAILED, 2.0) == DONE


@pytest.mark.parametrize(
    ("down", "under_way", "at_once", "expected"),
    [
        ((), 0, 1, ["w@1"]),
        ((), 0, 2, ["w@1", "w@2"]),
        ((), 1, 2, ["w@1"]),
        ((), 2, 2, []),
        (("w@10",), 0, 1, ["w@10"]),
        (("w@10",), 0, 2, ["w@10", "w@1"]),
    ],
)
def test_turn(down, under_way, at_once, expected):
    names = ["w@10", "w@2", "w@1"]
    assert turn(names, down=down, under_way=under_way, at_once=at_once) == expected
