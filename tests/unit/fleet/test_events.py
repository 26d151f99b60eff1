"""The history of the cluster: the ring as a pure thing, and what the parts of a fleetd record."""

from __future__ import annotations

import asyncio

import pytest

from coreos_py.fleet import events, recorder
from coreos_py.fleet.events import SLOT_EVENTS, SLOTS, STATE, Event, Ring
from coreos_py.fleet.recorder import Recorder, follow_events, read_events
from coreos_py.fleet.registry import Registry
from tests.support.memory_etcd import MemoryEtcd


def event(kind, unit="a.service", text="", machine=""):
    return Event(0, 0, kind, unit, machine, text)


def stored(ring):
    return [(e.number, e.kind, e.text, e.times) for e in events.decode(ring.current()[1])]


def test_a_ring_is_bounded_and_forgets_the_oldest():
    ring, slots = Ring(), {}
    total = SLOTS * SLOT_EVENTS * 3 + 7
    for number in range(total):
        ring.add(number, event("scheduled", f"u{number}.service"))
        slots.update([ring.current()])
    assert set(slots) == set(range(SLOTS))
    kept = events.in_order(e for text in slots.values() for e in events.decode(text))
    assert [e.unix_ms for e in kept] == list(range(total - len(kept), total))
    assert (SLOTS - 1) * SLOT_EVENTS <= len(kept) <= SLOTS * SLOT_EVENTS


def test_a_ring_goes_on_after_a_restart():
    first, slots = Ring(), {}
    for number in range(SLOT_EVENTS + 3):
        first.add(number, event("scheduled", f"u{number}.service"))
        slots.update([first.current()])
    again = Ring()
    again.resume(slots)
    again.add(999, event("destroyed"))
    assert again.current()[0] == first.current()[0]
    assert stored(again)[-1] == (SLOT_EVENTS + 4, "destroyed", "", 1)
    assert len(stored(again)) == 4


def test_what_repeats_is_counted():
    ring = Ring()
    for number in range(30):
        ring.add(number, event(STATE, text=("active (running)", "failed (failed)")[number % 2]))
    ring.add(50, event("scheduled", "b.service"))
    assert stored(ring) == [
        (29, STATE, "active (running)", 15),
        (30, STATE, "failed (failed)", 15),
        (31, "scheduled", "", 1),
    ]


def test_a_story_keeps_its_order():
    ring = Ring()
    for kind in ("scheduled", "unscheduled", "scheduled", "scheduled"):
        ring.add(0, event(kind))
    assert [(kind, times) for _, kind, _, times in stored(ring)] == [
        ("scheduled", 1),
        ("unscheduled", 1),
        ("scheduled", 2),
    ]


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "{}", '{"n":"1","t":2}', '{"n":1,"t":2,"times":"x"}', "null"]
)
def test_lines_that_make_no_sense_are_passed_over(text):
    good = events.encode([event("x")])
    assert [e.kind for e in events.decode(f"{text}\n{good}\n{text}")] == ["x"]


def test_an_event_survives_the_api():
    full = Event(3, 5, "moved", "a.service", "m1", "from m2", 2, "m9")
    assert events.from_data(events.to_data(full)) == full


@pytest.mark.parametrize(
    ("unit", "machine", "expected"),
    [
        ("", "", True),
        ("w@*.service", "", True),
        ("v@*", "", False),
        ("", "abc", True),
        ("", "abd", False),
        ("w@1.service", "a", True),
    ],
)
def test_choosing(unit, machine, expected):
    found = Event(1, 1, "state", "w@1.service", "abcdef")
    assert events.is_wanted(found, unit=unit, machine=machine) is expected


def test_recorders_write_together_and_only_when_there_is_something():
    async def scenario():
        etcd = MemoryEtcd()
        one, two = (Recorder(Registry(etcd), machine_id) for machine_id in ("m1", "m2"))
        await one.flush()
        assert etcd.calls == []
        one.note("scheduled", unit="a.service", machine="m1")
        one.note("state", unit="a.service", machine="m1", text="active (running)")
        two.note("joined", machine="m2")
        await one.flush()
        await two.flush()
        assert sum(method == "set" for method, _ in etcd.calls) == 2
        found = await read_events(Registry(etcd))
        assert sorted((e.reporter, e.number, e.kind) for e in found) == [
            ("m1", 1, "scheduled"),
            ("m1", 2, "state"),
            ("m2", 1, "joined"),
        ]
        assert all("x-events" in key for key in etcd.dump())
        off = Recorder(Registry(etcd), "m3", is_on=False)
        off.note("joined", machine="m3")
        await off.flush()
        assert len(await read_events(Registry(etcd))) == 3

    asyncio.run(scenario())


def test_of_too_many_at_once_the_last_are_kept():
    async def scenario():
        etcd = MemoryEtcd()
        one = Recorder(Registry(etcd), "m1")
        for number in range(1000):
            one.note("scheduled", unit=f"u{number}.service")
        await one.flush()
        assert sum(method == "set" for method, _ in etcd.calls) == SLOTS
        found = [e.unit for e in await read_events(Registry(etcd))]
        assert found == [f"u{n}.service" for n in range(1000 - SLOTS * SLOT_EVENTS, 1000)]

    asyncio.run(scenario())


def test_an_unreachable_etcd_costs_events_and_nothing_else():
    async def scenario():
        etcd = MemoryEtcd()
        one = Recorder(Registry(etcd), "m1")
        etcd.down = True
        one.note("joined", machine="m1")
        await one.flush()
        etcd.down = False
        one.note("lost", machine="m1")
        await one.flush()
        assert [e.kind for e in await read_events(Registry(etcd))] == ["lost"]

    asyncio.run(scenario())


def test_following_tells_each_event_once_also_over_a_lost_watch(monkeypatch):
    monkeypatch.setattr(recorder, "_RETRY_S", 0.01)

    async def scenario():
        etcd = MemoryEtcd()
        registry = Registry(etcd)
        one = Recorder(registry, "m1")
        one.note("first")
        await one.flush()
        stream = follow_events(registry)
        assert [e.kind for e in await anext(stream)] == ["first"]
        for kind in ("second", "third"):
            one.note(kind)
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            await one.flush()
            assert [e.kind for e in await asyncio.wait_for(waiting, 60)] == [kind]
        for number in range(1100):  # etcd keeps a thousand events
            await etcd.set(f"/other/{number % 3}", "x")
        one.note("fourth")
        await one.flush()
        assert [e.kind for e in await asyncio.wait_for(anext(stream), 60)] == ["fourth"]
        await stream.aclose()

    asyncio.run(scenario())
