"""The decision flow of CoreRoller 1.0.6, row by row, and what the friendly style adds."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from coreos_py.roller import policy, rollout
from coreos_py.roller.policy import Limits, Local, Question, Verdict
from coreos_py.roller.records import Group, Policy, Standing, Stats, Status, Style
from tests.support import rollerdb

FRIENDLY, COREROLLER = Style.FRIENDLY, Style.COREROLLER
BOTH = (FRIENDLY, COREROLLER)
OLD, NEW = "1.0.0", "2.0.0"
MACHINE = "0123456789abcdef0123456789abcdef"  # at 40.22 percent
PACKAGE = rollerdb.package(NEW)
FIVE = Policy(safe_mode=False, max_updates_per_period=5)
SAFE = Policy(max_updates_per_period=5)
CANARIES = FIVE._replace(canaries=2)
MONDAY_NOON = Local(0, 12)
NOTHING: dict[str, object] = {}


class Row(NamedTuple):
    """One row of the table: what is the case, and what is decided in these styles."""

    name: str
    verdict: Verdict
    styles: tuple[Style, ...] = BOTH
    rules: Policy = FIVE
    standing: dict[str, object] = NOTHING
    stats: Stats = Stats(total=100)
    package: object = PACKAGE
    local: Local | None = MONDAY_NOON
    pause: str = ""


ON_THE_WAY = {"in_progress": True, "granted_version": NEW, "status": Status.DOWNLOADING}
HOURS = FIVE._replace(office_hours=True, timezone="UTC")

TABLE = (
    # what comes before the policy
    Row("no package", Verdict.NO_PACKAGE, package=None),
    Row("same version", Verdict.CURRENT, standing={"version": NEW}),
    Row("newer version", Verdict.CURRENT, standing={"version": "2.0.1"}),
    Row("pre-release of it", Verdict.GRANT, standing={"version": "2.0.0-rc.1"}),
    Row("blacklisted", Verdict.BLACKLISTED, package=PACKAGE._replace(blacklist=("c",))),
    Row("other blacklisted", Verdict.GRANT, package=PACKAGE._replace(blacklist=("other",))),
    Row("current though paused", Verdict.CURRENT, rules=FIVE._replace(updates_enabled=False),
        standing={"version": NEW}),
    # the stuck grant, and its cure
    *(
        Row(f"under way: {status.name}", Verdict.BUSY, (COREROLLER,),
            standing={**ON_THE_WAY, "status": status})
        for status in (Status.UPDATE_GRANTED, Status.DOWNLOADING, Status.DOWNLOADED,
                       Status.INSTALLED)
    ),
    Row("busy even without a package", Verdict.BUSY, (COREROLLER,), standing=ON_THE_WAY,
        package=None),
    Row("served again", Verdict.AGAIN, (FRIENDLY,), standing=ON_THE_WAY,
        stats=Stats(total=9, granted=5, granted_in_period=5, in_progress=5)),
    Row("not served again when paused", Verdict.DISABLED, (FRIENDLY,), standing=ON_THE_WAY,
        rules=FIVE._replace(updates_enabled=False)),
    Row("not served again at night", Verdict.CLOSED, (FRIENDLY,), standing=ON_THE_WAY,
        rules=HOURS, local=Local(0, 8)),
    Row("granted another version", Verdict.GRANT, (FRIENDLY,),
        standing={**ON_THE_WAY, "granted_version": "1.5.0"}),
    *(
        Row(f"{status.name} may ask again", Verdict.GRANT, standing={"status": status})
        for status in (Status.ERROR, Status.COMPLETE, Status.ON_HOLD, Status.UNDEFINED)
    ),
    # gates
    Row("updates off", Verdict.DISABLED, rules=FIVE._replace(updates_enabled=False)),
    Row("Friday 09:00", Verdict.GRANT, rules=HOURS, local=Local(4, 9)),
    Row("Friday 16:59", Verdict.GRANT, rules=HOURS, local=Local(4, 16)),
    Row("Friday 17:00", Verdict.CLOSED, rules=HOURS, local=Local(4, 17)),
    Row("Monday 08:59", Verdict.CLOSED, rules=HOURS, local=Local(0, 8)),
    Row("Saturday noon", Verdict.CLOSED, rules=HOURS, local=Local(5, 12)),
    Row("Sunday noon", Verdict.CLOSED, rules=HOURS, local=Local(6, 12)),
    Row("unknown zone", Verdict.CLOSED, rules=HOURS, local=None),
    Row("no office hours, unknown zone", Verdict.GRANT, local=None),
    # numbers, in this order
    Row("first of all", Verdict.GRANT),
    Row("per period: one left", Verdict.GRANT, stats=Stats(granted_in_period=4)),
    Row("per period: none left", Verdict.PER_PERIOD,
        stats=Stats(granted_in_period=5, in_progress=5, timed_out=5)),
    Row("concurrent: one left", Verdict.GRANT, stats=Stats(in_progress=4)),
    Row("concurrent: none left", Verdict.CONCURRENT, stats=Stats(in_progress=5, timed_out=5)),
    Row("timed out: one left", Verdict.GRANT, stats=Stats(timed_out=4)),
    Row("timed out: too many", Verdict.TIMED_OUT, stats=Stats(timed_out=5),
        pause="5 updates did not end within 60 minutes"),
    Row("timed out: the only one", Verdict.TIMED_OUT, stats=Stats(timed_out=1), rules=SAFE,
        pause="an update did not end within 60 minutes"),
    # safe mode: one at a time until one has tried; or, friendly, has made it
    Row("safe mode: the first", Verdict.GRANT, rules=SAFE),
    Row("safe mode: the second waits", Verdict.PER_PERIOD, rules=SAFE,
        stats=Stats(granted=1, granted_in_period=1, in_progress=1)),
    Row("safe mode: nor later", Verdict.CONCURRENT, rules=SAFE,
        stats=Stats(granted=1, in_progress=1)),
    Row("safe mode: one made it", Verdict.GRANT, rules=SAFE,
        stats=Stats(granted=1, attempted=1, succeeded=1, granted_in_period=1)),
    Row("safe mode: one failed", Verdict.GRANT, (COREROLLER,), rules=SAFE,
        stats=Stats(granted=1, attempted=1, granted_in_period=1)),
    Row("safe mode: one failed, again one at a time", Verdict.PER_PERIOD, (FRIENDLY,), rules=SAFE,
        stats=Stats(granted=1, attempted=1, granted_in_period=1)),
    # canaries
    Row("canaries: the first", Verdict.GRANT, rules=CANARIES),
    Row("canaries: the second", Verdict.GRANT, rules=CANARIES,
        stats=Stats(granted=1, in_progress=1)),
    Row("canaries: the third waits", Verdict.CANARIES, rules=CANARIES,
        stats=Stats(granted=2, in_progress=2)),
    Row("canaries: one there, one on its way", Verdict.CANARIES, rules=CANARIES,
        stats=Stats(granted=2, attempted=1, succeeded=1, in_progress=1)),
    Row("canaries: one failed, another instead", Verdict.GRANT, rules=CANARIES,
        stats=Stats(granted=2, attempted=2, succeeded=1)),
    Row("canaries: all there", Verdict.GRANT, rules=CANARIES,
        stats=Stats(granted=2, attempted=2, succeeded=2)),
    Row("canaries: one never came back", Verdict.TIMED_OUT, rules=CANARIES,
        stats=Stats(granted=1, timed_out=1), pause="an update did not end within 60 minutes"),
    # percent
    Row("not within 40 percent", Verdict.PERCENT, rules=FIVE._replace(update_percent=40)),
    Row("within 41 percent", Verdict.GRANT, rules=FIVE._replace(update_percent=41)),
    Row("nobody", Verdict.PERCENT, rules=FIVE._replace(update_percent=0)),
    # failed before
    Row("failed, waits", Verdict.FAILED_BEFORE, (FRIENDLY,),
        standing={"failed_version": NEW, "failures": 1, "retry_us": 1001}),
    Row("failed, waited", Verdict.GRANT,
        standing={"failed_version": NEW, "failures": 1, "retry_us": 1000}),
    Row("failed with another version", Verdict.GRANT,
        standing={"failed_version": "1.5.0", "failures": 1, "retry_us": 1001}),
    Row("failed, CoreRoller forgets", Verdict.GRANT, (COREROLLER,),
        standing={"failed_version": NEW, "failures": 1, "retry_us": 1001}),
    # what cannot be read lets nobody pass
    Row("period unreadable", Verdict.UNREADABLE, rules=FIVE._replace(period_interval="soon")),
    Row("timeout unreadable", Verdict.UNREADABLE, rules=FIVE._replace(update_timeout="")),
)  # fmt: skip
CASES = [(row, style) for row in TABLE for style in row.styles]


def question(row: Row, style: Style) -> Question:
    standing = Standing(MACHINE, "app", "g", OLD, 0, 0)._replace(**row.standing)  # type: ignore[arg-type]
    group = Group("g", "app", "c", "G", "", "g", 0, row.rules, pause_reason="by admin")
    return Question(style, group, standing, row.package, row.local, 1000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "style"), CASES, ids=[f"{row.name}-{style}" for row, style in CASES]
)
def test_decision(row, style):
    decision = policy.decide(question(row, style), lambda: row.stats)
    assert (decision.verdict, decision.pause) == (row.verdict, row.pause)
    assert decision.reason.startswith(str(row.verdict))


def test_the_groups_numbers_are_asked_for_only_when_they_matter():
    def nobody() -> Stats:
        raise AssertionError("asked")

    early = (Verdict.NO_PACKAGE, Verdict.CURRENT, Verdict.BLACKLISTED, Verdict.BUSY)
    gates = (Verdict.DISABLED, Verdict.CLOSED, Verdict.AGAIN, Verdict.FAILED_BEFORE)
    rows = [(row, style) for row, style in CASES if row.verdict in early + gates]
    for row, style in rows:
        assert policy.decide(question(row, style), nobody).verdict == row.verdict


def test_reasons_name_the_numbers():
    paused = FIVE._replace(updates_enabled=False)
    decision = policy.decide(question(Row("", Verdict.GRANT, rules=paused), FRIENDLY), Stats)
    assert decision.reason == "updates are off: by admin"
    row = Row("", Verdict.GRANT, stats=Stats(granted_in_period=5))
    decision = policy.decide(question(row, FRIENDLY), lambda: row.stats)
    assert decision.reason == "max updates per period reached: 5 in 15 minutes"


def test_limits():
    assert policy.limits(FIVE) == Limits(15 * 60_000_000, 60 * 60_000_000, 5)


def test_the_machine_is_where_the_table_says():
    assert rollout.place(MACHINE) == 40.22
