"""What an event, or the way an instance comes back, means for its update. Pure.

Mirrors CoreRoller 1.0.6's RegisterEvent and triggerEventConsequences. The friendly style knows a
failed boot when it sees one, and an update that arrived without a word.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.omaha.codes import (
    FLAG_CUSTOM_SERVER,
    ErrorCode,
    EventResult,
    EventType,
    describe,
    without_flags,
)
from coreos_py.omaha.request import NEVER_UPDATED, Event
from coreos_py.roller import semver
from coreos_py.roller.records import (
    COREOS_APP,
    DAY_US,
    SEEN_US,
    Group,
    Standing,
    Stats,
    Status,
    Style,
)

RETRY_MAX_US = 7 * DAY_US
_DOUBLINGS_MAX = 20

_COMPLETE = (EventType.UPDATE_COMPLETE, EventResult.SUCCESS_REBOOT)
_FAILED = (EventType.UPDATE_COMPLETE, EventResult.ERROR)
_WATCHING = (EventType.DOWNLOAD_COMPLETE, EventResult.ERROR)
_STEPS: dict[tuple[int, int], Status] = {
    (EventType.UPDATE_DOWNLOAD_STARTED, EventResult.SUCCESS): Status.DOWNLOADING,
    (EventType.UPDATE_DOWNLOAD_FINISHED, EventResult.SUCCESS): Status.DOWNLOADED,
    (EventType.INSTALLED, EventResult.SUCCESS): Status.INSTALLED,
    (EventType.UPDATE_COMPLETE, EventResult.SUCCESS): Status.INSTALLED,
}
_KNOWN = frozenset({_COMPLETE, _FAILED, *_STEPS})
# A check went wrong, not an update: the answer with the grant may not have arrived.
_OF_CHECKS = frozenset(
    {
        ErrorCode.OMAHA_REQUEST_ERROR,
        ErrorCode.OMAHA_REQUEST_EMPTY_RESPONSE,
        ErrorCode.OMAHA_REQUEST_XML_PARSE,
        ErrorCode.OMAHA_RESPONSE_INVALID,
        ErrorCode.OMAHA_ERROR_IN_HTTP_RESPONSE,
    }
)

NO_GROUP = "the group is not known"
NOT_KNOWN = "the instance is not known"
NOT_UNDER_WAY = "no update in progress"
NO_SUCH_EVENT = "events of this kind change nothing"
OTHER_VERSION = "not about the version that ran before"
CHECK_FAILED = "a check failed, not an update"


class Ruling(NamedTuple):
    """What becomes of the standing; `ignored` says why nothing does."""

    standing: Standing | None
    ignored: str = ""
    is_news: bool = True  # worth keeping
    completed: bool = False
    failed: str = ""  # how, in words


class Report(NamedTuple):
    """An event and the moment it came."""

    event: Event
    version: str  # that the instance says it runs
    now_us: int
    period_us: int  # the group's


def is_routine(event: Event) -> bool:
    """What comes with every check: the 3/2 of a machine that did not update, updatectl's 1/0."""
    kind = (event.type, event.result)
    if kind == _WATCHING:
        return not event.error_code
    return kind == _COMPLETE and event.previous_version in (None, "", NEVER_UPDATED)


def judge(style: Style, report: Report, standing: Standing | None) -> Ruling:
    """The ruling about one event."""
    kind = (report.event.type, report.event.result)
    is_news = not is_routine(report.event)
    if standing is None or _is_forgotten(style, report, standing):
        return Ruling(standing, NOT_KNOWN, is_news=is_news)
    if not standing.in_progress:
        return Ruling(standing, NOT_UNDER_WAY, is_news=is_news)
    if style is Style.COREROLLER:
        return _as_coreroller(report, standing)
    if kind == _COMPLETE:
        return _came_back(report, standing)
    if kind == _FAILED:
        return _failed(report, standing)
    status = _STEPS.get(kind)
    if status is None:
        return Ruling(standing, NO_SUCH_EVENT, is_news=is_news)
    return Ruling(standing._replace(status=status))


def on_check(
    standing: Standing, version: str, *, rebooted: bool, now_us: int, period_us: int
) -> Ruling:
    """What a check tells without an event: the friendly style's silent ends of an update."""
    granted = standing.granted_version
    given_up = standing.status is Status.ERROR  # too late, but there after all
    if granted is None or not (standing.in_progress or given_up):
        return Ruling(standing, NOT_UNDER_WAY, is_news=False)
    if not semver.is_older(version, granted):
        return _complete(standing, version)
    if standing.in_progress and rebooted and standing.status is Status.INSTALLED:
        how = f"came back with {version}"
        return _fail(standing, how, now_us=now_us, period_us=period_us)
    return Ruling(standing, is_news=False)


def _is_forgotten(style: Style, report: Report, standing: Standing) -> bool:
    return style is Style.COREROLLER and standing.last_check_us <= report.now_us - SEEN_US


def _as_coreroller(report: Report, standing: Standing) -> Ruling:
    event = report.event
    kind = (event.type, event.result)
    is_coreos = standing.app_id == COREOS_APP
    if is_coreos and kind == _COMPLETE:
        previous = event.previous_version or ""
        if previous in ("", NEVER_UPDATED) or previous != standing.version:
            return Ruling(standing, OTHER_VERSION, is_news=not is_routine(event))
    if kind not in _KNOWN:
        return Ruling(standing, NO_SUCH_EVENT, is_news=not is_routine(event))
    if kind == _COMPLETE:
        return _complete(standing, standing.granted_version or standing.version)
    if kind == _FAILED:
        after = standing._replace(status=Status.ERROR, in_progress=False)
        return Ruling(after, failed=_error(event.error_code))
    if kind == (EventType.UPDATE_COMPLETE, EventResult.SUCCESS):
        return Ruling(standing)
    return Ruling(standing._replace(status=_STEPS[kind]))


def _came_back(report: Report, standing: Standing) -> Ruling:
    """3/2: it restarted into something; into what, its version tells."""
    says_nothing = is_routine(report.event)
    granted = standing.granted_version or ""
    if not semver.is_older(report.version, granted):
        return _complete(standing, report.version)
    if not says_nothing and report.event.previous_version == report.version:
        how = f"came back with {report.version}"
        return _fail(standing, how, now_us=report.now_us, period_us=report.period_us)
    if standing.app_id != COREOS_APP and standing.status is Status.INSTALLED:
        return _complete(standing, granted)  # CoreRoller's clients tell their version later
    if says_nothing:
        return Ruling(standing, NOT_UNDER_WAY, is_news=False)
    how = f"came back with {report.version} instead of {granted}"
    return _fail(standing, how, now_us=report.now_us, period_us=report.period_us)


def _failed(report: Report, standing: Standing) -> Ruling:
    code = report.event.error_code
    bare = without_flags(code)
    is_http = bare >= ErrorCode.OMAHA_REQUEST_HTTP_BASE and bool(code & FLAG_CUSTOM_SERVER)
    if standing.status is Status.UPDATE_GRANTED and (bare in _OF_CHECKS or is_http):
        return Ruling(standing, CHECK_FAILED)
    return _fail(standing, _error(code), now_us=report.now_us, period_us=report.period_us)


def _error(code: int) -> str:
    return f"error {code}: {describe(code)}"


def _complete(standing: Standing, version: str) -> Ruling:
    after = standing._replace(
        status=Status.COMPLETE,
        in_progress=False,
        version=version,
        failures=0,
        failed_version=None,
        retry_us=0,
    )
    return Ruling(after, completed=True)


def _fail(standing: Standing, how: str, *, now_us: int, period_us: int) -> Ruling:
    """Ends the attempt; the same version waits a period here, then two, four, …"""
    again = standing.failed_version == standing.granted_version
    failures = standing.failures + 1 if again else 1
    wait_us = max(period_us, 0) << min(failures - 1, _DOUBLINGS_MAX)
    after = standing._replace(
        status=Status.ERROR,
        in_progress=False,
        failures=failures,
        failed_version=standing.granted_version,
        retry_us=now_us + min(wait_us, RETRY_MAX_US),
    )
    return Ruling(after, failed=how)


def why_stop(style: Style, group: Group, standing: Standing, how: str, stats: Stats) -> str:
    """The reason to pause a group after a failure; "" when it goes on.

    `stats` are those after it, of the version that the channel has now.
    """
    culprit = f"{standing.instance_id} {how}"
    if style is Style.COREROLLER:
        return f"first attempt failed: {culprit}" if stats.attempted == 1 else ""
    if not group.policy.updates_enabled:
        return ""
    if group.policy.canaries > stats.succeeded:
        return f"canary failed: {culprit}"
    if group.policy.safe_mode and stats.succeeded == 0:
        return f"first attempt failed: {culprit}"
    return ""
