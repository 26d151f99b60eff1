"""Whatever instances, operators and clocks do, in any order: the policy's limits hold, no event is
lost, a failed canary stops the rollout, a paused group grants nothing, and the tallies are right.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreos_py.roller import judge, tally
from coreos_py.roller.db import events, fleet, groups, instances
from coreos_py.roller.records import SEEN_US, Policy, Status
from tests.support import rollerdb

MACHINES = tuple(f"machine-{number}" for number in range(6))
PERIOD_US, TIMEOUT_US = 10 * rollerdb.MINUTE_US, 30 * rollerdb.MINUTE_US
STEPS_MAX = 60


class Step(NamedTuple):
    """Something happens: to one machine, to the clock or by the operator."""

    what: str
    machine: str = ""
    minutes: int = 0


_ON_MACHINES = ("check", "ping", "13/1", "14/1", "3/1", "3/0", "reboot", "fall back", "3/9")
MACHINE_STEPS = st.tuples(st.sampled_from(_ON_MACHINES), st.sampled_from(MACHINES))
CLOCK_STEPS = st.one_of(st.integers(-90, 90), st.sampled_from([-3000, 1441, 3000]))
OPERATOR_STEPS = st.sampled_from(("pause", "resume", "publish"))
STEPS = st.lists(
    st.one_of(
        *[MACHINE_STEPS.map(lambda pair: Step(*pair))] * 4,
        CLOCK_STEPS.map(lambda minutes: Step("clock", minutes=minutes)),
        OPERATOR_STEPS.map(Step),
    ),
    max_size=STEPS_MAX,
)
LOOSE = Policy(period_interval="10 minutes", update_timeout="30 minutes")
POLICIES = st.builds(
    lambda safe, most, canaries, percent: LOOSE._replace(
        safe_mode=safe,
        max_updates_per_period=most,
        canaries=canaries,
        update_percent=percent,
    ),
    st.booleans(),
    st.integers(1, 4),
    st.integers(0, 3),
    st.sampled_from([30.0, 100.0]),
)


class World:
    """The server, the machines around it, and what must have been kept."""

    def __init__(self, tx, policy, *, compat):
        self.server = rollerdb.Server(tx, policy=policy, compat=compat)
        self.compat = compat
        self.version = dict.fromkeys(MACHINES, "1.0.0")
        self.boots = dict.fromkeys(MACHINES, 0)
        self.news = 0
        self.published = 2

    def take(self, step):
        before = self.server.group()
        states = {machine: self.standing(machine) for machine in MACHINES}
        getattr(self, f"on_{step.what.replace(' ', '_').replace('/', '_')}")(step)
        self.grants_follow_the_policy(before, states)
        self.failed_canaries_stop(before, states)
        self.tallies_are_right()
        assert events.count(self.server.tx) == self.news

    def standing(self, machine):
        return instances.standing(self.server.tx, machine, self.server.app_id)

    # -- what happens

    def on_check(self, step):
        paused = not self.server.group().policy.updates_enabled
        answer = self.server.check(
            step.machine, self.version[step.machine], boot=str(self.boots[step.machine])
        )
        if paused:
            assert answer in (
                "noupdate",
                "error-updatesDisabled",
                "error-updateInProgressOnInstance",
            )

    def on_ping(self, step):
        self.server.send(step.machine, self.version[step.machine], "<ping/>")

    def event(self, step, *, previous=None, code=0):
        kind, _, result = step.what.partition("/")
        self.news += 1
        self.server.event(
            step.machine,
            int(kind),
            int(result),
            version=self.version[step.machine],
            previous=previous,
            code=code,
        )

    def on_13_1(self, step):
        self.event(step)

    on_14_1 = on_3_1 = on_13_1

    def on_3_0(self, step):
        self.event(step, code=(1 << 28) + 5)

    def on_3_9(self, step):
        self.event(step, code=(1 << 28) + 40)

    def on_reboot(self, step):
        """Into what it was granted, which it tells."""
        found = self.standing(step.machine)
        before = self.version[step.machine]
        if found is not None and found.in_progress and found.granted_version is not None:
            self.version[step.machine] = found.granted_version
        self.boots[step.machine] += 1
        self.event(step._replace(what="3/2"), previous=before)

    def on_fall_back(self, step):
        """Into what it ran before, which it tells, too."""
        self.boots[step.machine] += 1
        self.event(step._replace(what="3/2"), previous=self.version[step.machine])

    def on_clock(self, step):
        self.server.now_us += step.minutes * rollerdb.MINUTE_US

    def on_pause(self, _step):
        groups.pause(self.server.tx, self.server.group(), "by admin", self.server.now_us)

    def on_resume(self, _step):
        groups.resume(self.server.tx, self.server.group(), self.server.now_us)

    def on_publish(self, _step):
        if self.published < 4:
            self.published += 1
            self.server.publish(f"{self.published}.0.0")

    # -- what must hold

    def grants_follow_the_policy(self, before, states):
        """The grant of this step, if there is one, was within all limits."""
        now_us = self.server.now_us
        after = {machine: self.standing(machine) for machine in MACHINES}
        grants = [
            found
            for machine, found in after.items()
            if found is not None and found.granted_us is not None
            and (states[machine] is None or states[machine].granted_us != found.granted_us
                 or states[machine].granted_version != found.granted_version)
        ]  # fmt: skip
        if not grants:
            return
        assert len(grants) == 1
        assert grants[0].granted_us == now_us
        assert before.policy.updates_enabled
        counted = [
            found
            for found in after.values()
            if found is not None and found.granted_us and found.last_check_us > now_us - SEEN_US
        ]
        most = before.policy.max_updates_per_period
        recent = [found for found in counted if found.granted_us > now_us - PERIOD_US]
        under_way = [
            found
            for found in counted
            if found.in_progress and found.granted_us >= now_us - TIMEOUT_US
        ]
        assert len(recent) <= most
        assert len(under_way) <= most
        version = grants[0].granted_version
        there = [f for f in counted if f.granted_version == version and f.version == version]
        there = [found for found in there if not found.in_progress]
        if before.policy.canaries > len(there):
            on_the_way = [f for f in counted if f.granted_version == version and f.in_progress]
            assert len(there) + len(on_the_way) <= before.policy.canaries

    def failed_canaries_stop(self, before, states):
        for machine, old in states.items():
            new = self.standing(machine)
            if old is None or not old.in_progress or new.status is not Status.ERROR:
                continue
            if not before.policy.updates_enabled:
                continue  # an operator resumed it: what timed out was given up
            target = f"{self.published}.0.0"
            counts = instances.tallies(self.server.tx, before.id)
            there = counts.get(target, tally.Tally()).succeeded
            is_canary = new.granted_version == target and there < before.policy.canaries
            if is_canary and not self.compat:
                assert not self.server.group().policy.updates_enabled
                assert self.server.group().pause_reason

    def tallies_are_right(self):
        tx = self.server.tx
        members = fleet.listing(tx, fleet.Query(self.server.app_id))
        expected: dict[str, tally.Tally] = {}
        for member in members:
            for (_, version), delta in tally.changes(None, member.standing).items():
                expected[version] = tally.add(expected.get(version, tally.Tally()), delta)
        assert instances.tallies(tx, self.server.group_id) == expected


@pytest.mark.parametrize("compat", [False, True], ids=["friendly", "coreroller"])
def test_any_order(database, compat):
    @settings(max_examples=120, deadline=None)
    @given(policy=POLICIES, steps=STEPS)
    def play(policy, steps):
        with rollerdb.undone(database) as tx:
            world = World(tx, policy, compat=compat)
            for step in steps:
                world.take(step)

    play()


def test_everybody_gets_there_in_the_end(tx):
    """Failures, lost answers and pauses on the way; the operator only ever resumes."""
    policy = Policy(max_updates_per_period=2, canaries=1, period_interval="10 minutes")
    world = World(tx, policy, compat=False)
    world.server.set_policy(policy)
    for turn in range(200):
        for number, machine in enumerate(MACHINES):
            world.take(Step("check", machine))
            found = world.standing(machine)
            if not found.in_progress:
                continue
            for what in ("13/1", "14/1", "3/1"):
                world.take(Step(what, machine))
            fails = turn < 9 and (turn + number) % 3 == 0
            world.take(Step("fall back" if fails else "reboot", machine))
        world.take(Step("clock", minutes=11))
        if not world.server.group().policy.updates_enabled:
            world.take(Step("resume"))
        if set(world.version.values()) == {"2.0.0"}:
            break
    assert set(world.version.values()) == {"2.0.0"}
    assert not world.server.group().rollout_in_progress
    assert all(world.standing(machine).status is Status.COMPLETE for machine in MACHINES)
    assert judge.RETRY_MAX_US > 0
