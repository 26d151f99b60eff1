"""What events mean: CoreRoller 1.0.6's rules, and the friendly style's."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from coreos_py.omaha.request import Event
from coreos_py.roller import judge
from coreos_py.roller.judge import Report
from coreos_py.roller.records import (
    COREOS_APP,
    DAY_US,
    Group,
    Policy,
    Standing,
    Stats,
    Status,
    Style,
)

FRIENDLY, COREROLLER = Style.FRIENDLY, Style.COREROLLER
BOTH = (FRIENDLY, COREROLLER)
OLD, NEW = "1.0.0", "2.0.0"
PRIVATE = 1 << 28
PERIOD = 900
NOW = 10 * DAY_US

GRANTED = Standing(
    "m1",
    COREOS_APP,
    "g",
    OLD,
    0,
    NOW - 5,
    status=Status.UPDATE_GRANTED,
    granted_us=NOW - 9,
    granted_version=NEW,
    in_progress=True,
)
INSTALLED = GRANTED._replace(status=Status.INSTALLED)
ELSE = "another application"


class Row(NamedTuple):
    """One event, and what becomes of status, version and progress; None: nothing changes."""

    name: str
    event: Event
    after: tuple[Status, str, bool] | None
    styles: tuple[Style, ...] = BOTH
    before: Standing | None = GRANTED
    version: str = OLD
    ignored: str = ""
    kept: bool = True


DONE = (Status.COMPLETE, NEW, False)
BROKEN = (Status.ERROR, OLD, False)
ROUTINE = Event(3, 2, 0, "0.0.0.0")

TABLE = (
    Row("13/1", Event(13, 1), (Status.DOWNLOADING, OLD, True)),
    Row("14/1", Event(14, 1), (Status.DOWNLOADED, OLD, True)),
    Row("800/1", Event(800, 1), (Status.INSTALLED, OLD, True)),
    Row("3/1", Event(3, 1), (Status.UPDATE_GRANTED, OLD, True), (COREROLLER,)),
    Row("3/1 waits for the reboot", Event(3, 1), (Status.INSTALLED, OLD, True), (FRIENDLY,)),
    # failures
    Row("3/0", Event(3, 0, PRIVATE + 5), BROKEN),
    Row("3/0 rollback", Event(3, 0, PRIVATE + 44), BROKEN, before=INSTALLED),
    Row("3/0 of a fake client", Event(3, 0, 2000), BROKEN),
    Row("3/0: the answer was lost", Event(3, 0, PRIVATE + 2000), None, (FRIENDLY,),
        ignored=judge.CHECK_FAILED),
    Row("3/0: the answer was unreadable", Event(3, 0, PRIVATE + 31), None, (FRIENDLY,),
        ignored=judge.CHECK_FAILED),
    Row("3/0: CoreRoller takes it for a failure", Event(3, 0, PRIVATE + 34), BROKEN, (COREROLLER,)),
    Row("3/0: 34 in mid-download", Event(3, 0, PRIVATE + 34), BROKEN, (FRIENDLY,),
        before=GRANTED._replace(status=Status.DOWNLOADING)),
    Row("3/9: the client waits by itself", Event(3, 9, PRIVATE + 40), None,
        ignored=judge.NO_SUCH_EVENT),
    Row("13/0", Event(13, 0), None, ignored=judge.NO_SUCH_EVENT),
    Row("1/0 of updatectl watch", Event(1, 0), None, ignored=judge.NO_SUCH_EVENT, kept=False),
    Row("1/0 that failed", Event(1, 0, 7), None, ignored=judge.NO_SUCH_EVENT),
    # 3/2 of CoreOS
    Row("3/2 with the version before", Event(3, 2, 0, OLD), DONE, version=NEW, before=INSTALLED),
    Row("3/2 with another version before", Event(3, 2, 0, "0.9.0"), None, (COREROLLER,),
        version=NEW, ignored=judge.OTHER_VERSION),
    Row("3/2 from somewhere, but there", Event(3, 2, 0, "0.9.0"), DONE, (FRIENDLY,), version=NEW),
    Row("3/2 into something newer", Event(3, 2, 0, OLD), (Status.COMPLETE, "2.1.0", False),
        (FRIENDLY,), version="2.1.0"),
    Row("3/2 into the version before: CoreRoller believes it", Event(3, 2, 0, OLD), DONE,
        (COREROLLER,), version=OLD),
    Row("3/2 into the version before: a failed boot", Event(3, 2, 0, OLD), BROKEN, (FRIENDLY,),
        before=INSTALLED),
    Row("3/2 into a third version", Event(3, 2, 0, OLD), BROKEN, (FRIENDLY,), version="1.5.0"),
    Row("3/2 never updated", ROUTINE, None, (COREROLLER,), ignored=judge.OTHER_VERSION, kept=False),
    Row("3/2 never updated", ROUTINE, None, (FRIENDLY,), ignored=judge.NOT_UNDER_WAY, kept=False),
    Row("3/2 empty", Event(3, 2, 0, ""), None, (FRIENDLY,), ignored=judge.NOT_UNDER_WAY,
        kept=False),
    Row("3/2 empty, but there", Event(3, 2, 0, ""), DONE, (FRIENDLY,), version=NEW),
    # 3/2 of other applications
    Row("3/2 elsewhere", Event(3, 2), DONE, (COREROLLER,), before=GRANTED._replace(app_id=ELSE)),
    Row("3/2 elsewhere, with every check", Event(3, 2), None, (FRIENDLY,),
        before=GRANTED._replace(app_id=ELSE), ignored=judge.NOT_UNDER_WAY, kept=False),
    Row("3/2 elsewhere, installed", Event(3, 2), DONE, (FRIENDLY,),
        before=INSTALLED._replace(app_id=ELSE)),
    Row("3/2 elsewhere, there", Event(3, 2), DONE, (FRIENDLY,),
        before=GRANTED._replace(app_id=ELSE), version=NEW),
    # not under way
    Row("unknown instance", Event(3, 0, 5), None, before=None, ignored=judge.NOT_KNOWN),
    Row("unknown instance, every check", ROUTINE, None, before=None, ignored=judge.NOT_KNOWN,
        kept=False),
    Row("not granted", Event(3, 0, 5), None, before=GRANTED._replace(in_progress=False),
        ignored=judge.NOT_UNDER_WAY),
    Row("not seen for a day", Event(13, 1), None, (COREROLLER,),
        before=GRANTED._replace(last_check_us=NOW - DAY_US), ignored=judge.NOT_KNOWN),
    Row("not seen for a day", Event(13, 1), (Status.DOWNLOADING, OLD, True), (FRIENDLY,),
        before=GRANTED._replace(last_check_us=NOW - DAY_US)),
)  # fmt: skip
CASES = [(row, style) for row in TABLE for style in row.styles]


@pytest.mark.parametrize(
    ("row", "style"), CASES, ids=[f"{row.name}-{style}" for row, style in CASES]
)
def test_ruling(row, style):
    ruling = judge.judge(style, Report(row.event, row.version, NOW, PERIOD), row.before)
    assert (ruling.ignored, ruling.is_news) == (row.ignored, row.kept)
    if row.after is None:
        assert ruling.standing == row.before
        assert not ruling.completed
        assert not ruling.failed
        return
    status, version, in_progress = row.after
    assert ruling.standing is not None
    assert ruling.standing.status is status
    assert ruling.standing.version == version
    assert ruling.standing.in_progress is in_progress
    assert ruling.completed is (status is Status.COMPLETE)
    assert bool(ruling.failed) is (status is Status.ERROR)


def test_each_failure_waits_longer():
    standing, waits = INSTALLED, []
    for _ in range(40):
        report = Report(Event(3, 2, 0, OLD), OLD, NOW, PERIOD)
        ruling = judge.judge(FRIENDLY, report, standing)
        assert ruling.standing is not None
        assert ruling.failed == "came back with 1.0.0"
        waits.append(ruling.standing.retry_us - NOW)
        standing = ruling.standing._replace(in_progress=True, status=Status.INSTALLED)
    assert waits[:4] == [900, 1800, 3600, 7200]
    assert waits == sorted(waits)
    assert waits[-1] <= judge.RETRY_MAX_US
    other = standing._replace(granted_version="3.0.0")
    after = judge.judge(FRIENDLY, report, other).standing
    assert after is not None
    assert (after.failures, after.failed_version, after.retry_us) == (1, "3.0.0", NOW + 900)


@pytest.mark.parametrize(
    ("version", "rebooted", "standing", "after"),
    [
        (NEW, False, GRANTED, DONE),
        ("2.0.1", True, INSTALLED, (Status.COMPLETE, "2.0.1", False)),
        (OLD, True, INSTALLED, BROKEN),
        (OLD, False, INSTALLED, (Status.INSTALLED, OLD, True)),
        (OLD, True, GRANTED, (Status.UPDATE_GRANTED, OLD, True)),
        (OLD, True, INSTALLED._replace(in_progress=False), (Status.INSTALLED, OLD, False)),
        (NEW, True, GRANTED._replace(in_progress=False, status=Status.ERROR), DONE),
        (OLD, True, GRANTED._replace(in_progress=False, status=Status.ERROR), BROKEN),
    ],
)
def test_what_a_check_tells_alone(version, rebooted, standing, after):
    ruling = judge.on_check(standing, version, rebooted=rebooted, now_us=NOW, period_us=PERIOD)
    assert ruling.standing is not None
    assert ruling.standing[6] is after[0]
    assert (ruling.standing.version, ruling.standing.in_progress) == after[1:]


def test_a_failure_that_was_forgiven_is_forgotten():
    failed = GRANTED._replace(failures=3, failed_version=NEW, retry_us=NOW)
    after = judge.judge(FRIENDLY, Report(ROUTINE, NEW, NOW, PERIOD), failed).standing
    assert after is not None
    assert (after.failures, after.failed_version, after.retry_us) == (0, None, 0)


def _group(rules: Policy) -> Group:
    return Group("g", COREOS_APP, "c", "G", "", "g", 0, rules)


@pytest.mark.parametrize(
    ("style", "rules", "stats", "reason"),
    [
        (COREROLLER, Policy(safe_mode=False), Stats(attempted=1), "first attempt failed: m1 broke"),
        (COREROLLER, Policy(), Stats(attempted=2), ""),
        (COREROLLER, Policy(), Stats(attempted=1, succeeded=1), "first attempt failed: m1 broke"),
        (FRIENDLY, Policy(), Stats(attempted=1), "first attempt failed: m1 broke"),
        (FRIENDLY, Policy(), Stats(attempted=2), "first attempt failed: m1 broke"),
        (FRIENDLY, Policy(), Stats(attempted=2, succeeded=1), ""),
        (FRIENDLY, Policy(safe_mode=False), Stats(attempted=1), ""),
        (FRIENDLY, Policy(canaries=2), Stats(attempted=2, succeeded=1), "canary failed: m1 broke"),
        (FRIENDLY, Policy(canaries=2), Stats(attempted=3, succeeded=2), ""),
        (FRIENDLY, Policy(updates_enabled=False), Stats(attempted=1), ""),
    ],
)
def test_when_a_failure_stops_the_group(style, rules, stats, reason):
    assert judge.why_stop(style, _group(rules), GRANTED, "broke", stats) == reason
