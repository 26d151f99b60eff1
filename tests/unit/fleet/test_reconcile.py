"""The agent's tables: what belongs here, and the tasks from actual to desired."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base.unitfile import parse
from coreos_py.fleet import reconcile, requirements
from coreos_py.fleet.heartbeat import Contact, Timings, next_backoff_s
from coreos_py.fleet.job import INACTIVE, LAUNCHED, LOADED, Machine, Unit
from coreos_py.fleet.reconcile import Actual, desired_units, purge_tasks, tasks


def unit(name, text="", *, at="m1", state=LAUNCHED):
    file = parse(text)
    return Unit(name, file, requirements.parse(name, file.options), state, at)


FILE = parse("[Service]\nExecStart=/bin/true\n")
HASH = FILE.hash

TABLE = [
    # desired, actual, tasks
    (None, Actual(INACTIVE, HASH), "unload"),
    (None, Actual(LOADED, HASH), "unload"),
    (None, Actual(LAUNCHED, HASH), "unload"),
    (INACTIVE, None, ""),
    (INACTIVE, Actual(INACTIVE, HASH), "unload"),
    (INACTIVE, Actual(LAUNCHED, "other"), "unload"),
    (LOADED, None, "load"),
    (LOADED, Actual(INACTIVE, HASH), "load"),
    (LOADED, Actual(LOADED, HASH), ""),
    (LOADED, Actual(LAUNCHED, HASH), "stop"),
    (LOADED, Actual(LAUNCHED, "other"), "unload load"),
    (LAUNCHED, None, "load start"),
    (LAUNCHED, Actual(INACTIVE, HASH), "load start"),
    (LAUNCHED, Actual(LOADED, HASH), "start"),
    (LAUNCHED, Actual(LAUNCHED, HASH), ""),
    (LAUNCHED, Actual(LOADED, "other"), "unload load start"),
]
WORDS = {
    reconcile.UNLOAD: "unload",
    reconcile.LOAD: "load",
    reconcile.STOP: "stop",
    reconcile.START: "start",
}


@pytest.mark.parametrize(("wanted", "actual", "expected"), TABLE)
def test_one_unit(wanted, actual, expected):
    desired = {} if wanted is None else {"a.service": _of_file(wanted)}
    found = tasks(desired, {} if actual is None else {"a.service": actual})
    words = [WORDS[task.type] for task in found if task.type != reconcile.RELOAD]
    assert " ".join(words) == expected
    reloads = [task for task in found if task.type == reconcile.RELOAD]
    assert len(reloads) == ("load" in expected)


def _of_file(state):
    return Unit("a.service", FILE, requirements.NOTHING, state, "m1")


def test_order_and_reasons_over_the_whole_machine():
    desired = {
        "new.service": unit("new.service"),
        "changed.service": unit("changed.service"),
        "stopping.service": unit("stopping.service", state=LOADED),
    }
    empty = parse("").hash
    actual = {
        "old.service": Actual(LAUNCHED, empty),
        "changed.service": Actual(LAUNCHED, "other"),
        "stopping.service": Actual(LAUNCHED, empty),
    }
    assert [tuple(task) for task in tasks(desired, actual)] == [
        ("UnloadUnit", "changed.service", "unit loaded but hash differs to expected"),
        ("UnloadUnit", "old.service", "unit loaded but not scheduled here"),
        ("LoadUnit", "changed.service", "unit scheduled here but not loaded"),
        ("LoadUnit", "new.service", "unit scheduled here but not loaded"),
        ("ReloadUnitFiles", "", "always reload unit files"),
        ("StopUnit", "stopping.service", "unit currently launched but desired state is loaded"),
        ("StartUnit", "changed.service", "unit currently loaded but desired state is launched"),
        ("StartUnit", "new.service", "unit currently loaded but desired state is launched"),
    ]


STATES = st.sampled_from([INACTIVE, LOADED, LAUNCHED])
NAMES = st.sampled_from(["a.service", "b.service", "c.socket"])


@given(
    st.dictionaries(NAMES, st.tuples(STATES, st.sampled_from(["", "[A]\nB=1\n"]))),
    st.dictionaries(NAMES, st.tuples(STATES, st.sampled_from(["", "[A]\nB=1\n"]))),
)
def test_after_the_tasks_there_are_none(wanted, present):
    desired = {name: unit(name, text, state=state) for name, (state, text) in wanted.items()}
    actual = {name: Actual(state, parse(text).hash) for name, (state, text) in present.items()}
    for task in tasks(desired, actual):
        if task.type == reconcile.UNLOAD:
            del actual[task.unit]
        elif task.type == reconcile.LOAD:
            actual[task.unit] = Actual(LOADED, desired[task.unit].file.hash)
        elif task.type in (reconcile.START, reconcile.STOP):
            state = LAUNCHED if task.type == reconcile.START else LOADED
            actual[task.unit] = actual[task.unit]._replace(state=state)
    assert tasks(desired, actual) == []
    assert {n: a.state for n, a in actual.items()} == {
        n: u.target_state for n, u in desired.items() if u.target_state != INACTIVE
    }


GLOBAL = "[X-Fleet]\nGlobal=true\n"


@pytest.mark.parametrize(
    ("units", "metadata", "expected"),
    [
        ([], {}, []),
        ([unit("a.service")], {}, ["a.service"]),
        ([unit("a.service", at="")], {}, []),
        ([unit("a.service", at="m2")], {}, []),
        ([unit("g.service", GLOBAL, at="")], {}, ["g.service"]),
        ([unit("g@.service", GLOBAL, at="")], {}, []),
        ([unit("g.service", GLOBAL + "MachineMetadata=a=b\n", at="")], {}, []),
        ([unit("g.service", GLOBAL + "MachineMetadata=a=b\n", at="")], {"a": "b"}, ["g.service"]),
        # Not checked again: the engine decided.
        ([unit("a.service", "[X-Fleet]\nMachineMetadata=a=b\n")], {}, ["a.service"]),
        ([unit("a.service", "[X-Fleet]\nMachineOf=b.service\n")], {}, ["a.service"]),
        # Of two that conflict the first by name wins, whoever declares it.
        ([unit("b.service", "[X-Fleet]\nConflicts=a*\n"), unit("a.service")], {}, ["a.service"]),
        ([unit("b.service"), unit("a.service", "[X-Fleet]\nConflicts=b*\n")], {}, ["a.service"]),
    ],
)
def test_desired_units(units, metadata, expected):
    assert list(desired_units(units, Machine("m1", metadata=metadata))) == expected


def test_purge_unloads_everything():
    assert [tuple(task) for task in purge_tasks({"b.service": 1, "a.service": 1})] == [
        ("UnloadUnit", "a.service", "purging agent"),
        ("UnloadUnit", "b.service", "purging agent"),
    ]


# -- timings


@pytest.mark.parametrize(
    ("ttl", "publish", "beat", "deadline", "retry", "lease", "pass_s"),
    [
        (30, 120, 15, 10, 2.5, 10, 2),
        (10, 40, 2.5, 10 / 3, 10 / 12, 10, 2),
        (3, 12, 0.75, 1, 0.25, 3, 0.75),
    ],
)
def test_timings(ttl, publish, beat, deadline, retry, lease, pass_s):
    timings = Timings(ttl, 2.0)
    assert timings.publish_s == pytest.approx(publish)
    assert timings.machine_beat_s == pytest.approx(beat)
    assert timings.beat_deadline_s == pytest.approx(deadline)
    assert timings.beat_retry_s == pytest.approx(retry)
    assert timings.lease_ttl_s == lease
    assert timings.engine_pass_s == pass_s


def test_backoff():
    waits, wait = [], 0.0
    for _ in range(8):
        wait = next_backoff_s(wait)
        waits.append(wait)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_absent_machines_are_in_doubt_after_start_and_after_an_outage():
    contact = Contact(Timings(30, 2), 0.0)
    assert not contact.absent_means_gone(29)
    assert contact.absent_means_gone(30)
    contact.failed(40)
    assert not contact.absent_means_gone(41)
    contact.succeeded(42)  # a blip, shorter than any key's remaining life
    assert contact.absent_means_gone(42)
    contact.failed(100)
    contact.failed(150)
    contact.succeeded(160)
    assert not contact.absent_means_gone(219)
    assert contact.absent_means_gone(220)


def test_a_short_ttl_bears_a_longer_part_of_it_as_outage():
    contact = Contact(Timings(5, 2), 0.0)
    contact.failed(40)
    contact.succeeded(42.4)  # an election in etcd
    assert contact.absent_means_gone(42.4)
    contact.failed(50)
    contact.succeeded(52.5)
    assert not contact.absent_means_gone(59.9)
    assert contact.absent_means_gone(60)


def test_who_misses_its_own_key_declares_nobody_lost():
    contact = Contact(Timings(30, 2), 0.0)
    contact.doubt(100)
    assert not contact.absent_means_gone(129)
    assert contact.absent_means_gone(130)
