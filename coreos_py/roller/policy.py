"""May this instance have that package now? The rules of a group, and the reason in words. Pure.

Mirrors CoreRoller 1.0.6's GetUpdatePackage and enforceRolloutPolicy, in that order; the friendly
style adds what its users missed: a grant is served again, canaries go first, a version that failed
on a machine waits before it is offered there again.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from coreos_py.roller import interval, rollout, semver
from coreos_py.roller.records import (
    UNDER_WAY,
    Group,
    Package,
    Policy,
    Standing,
    Stats,
    Style,
)

OPENS_H, CLOSES_H = 9, 17
_SATURDAY = 5


class Verdict(StrEnum):
    """What is decided about a check."""

    GRANT = "granted"
    AGAIN = "granted before"
    CURRENT = "runs this version or a newer one"
    BLACKLISTED = "the package is not for this channel"
    BUSY = "an update is in progress"
    NO_PACKAGE = "no package to serve"
    DISABLED = "updates are off"
    CLOSED = "outside office hours"
    EXCLUDED = "the group leaves this OEM out"
    UNREADABLE = "the group's period or timeout is no length of time"
    PER_PERIOD = "max updates per period reached"
    CONCURRENT = "max concurrent updates reached"
    TIMED_OUT = "too many updates timed out"
    CANARIES = "waits for the canaries"
    PERCENT = "not within the update percentage yet"
    FAILED_BEFORE = "this version failed here, waits before the next attempt"


WAITING = frozenset(
    {
        Verdict.PER_PERIOD,
        Verdict.CONCURRENT,
        Verdict.TIMED_OUT,
        Verdict.CANARIES,
        Verdict.PERCENT,
    }
)


class Local(NamedTuple):
    """A moment where the group is."""

    weekday: int  # 0 is Monday
    hour: int


class Limits(NamedTuple):
    """A policy's numbers, ready to compare."""

    period_us: int
    timeout_us: int
    max_updates: int


class Decision(NamedTuple):
    """The verdict; `pause` is why the group must stop now, if it must."""

    verdict: Verdict
    detail: str = ""
    pause: str = ""

    @property
    def reason(self) -> str:
        """In words."""
        return f"{self.verdict}: {self.detail}" if self.detail else str(self.verdict)


class Question(NamedTuple):
    """Everything a decision depends on, but for the numbers of the group."""

    style: Style
    group: Group
    standing: Standing
    package: Package | None
    local: Local | None  # None: the group's time zone is not known
    now_us: int
    oem: str = ""  # of the instance


def limits(policy: Policy) -> Limits:
    """The numbers of a policy; what cannot be read lets nothing pass."""
    period_us = interval.parse_us(policy.period_interval)
    timeout_us = interval.parse_us(policy.update_timeout)
    if period_us is None or timeout_us is None:
        return Limits(0, 0, 0)
    return Limits(period_us, timeout_us, policy.max_updates_per_period)


def is_readable(policy: Policy) -> bool:
    """Whether both lengths of time are some; CoreRoller's API takes any text."""
    return None not in (
        interval.parse_us(policy.period_interval),
        interval.parse_us(policy.update_timeout),
    )


def oems(text: str) -> list[str]:
    """The OEMs in a list that is separated by commas."""
    names = (name.strip() for name in text.split(","))
    return list(dict.fromkeys(name for name in names if name))


def decide(question: Question, stats: Callable[[], Stats]) -> Decision:
    """The decision; the group's numbers are asked for only if it depends on them."""
    early = _before_policy(question) or _gates(question)
    if early is not None:
        return early
    if _is_regrant(question):
        return Decision(Verdict.AGAIN)
    return _personal(question) or _numbers(question, stats())


def _before_policy(question: Question) -> Decision | None:
    style, group, standing, package = question[:4]
    if style is Style.COREROLLER and standing.status in UNDER_WAY:
        return Decision(Verdict.BUSY)
    if package is None:
        return Decision(Verdict.NO_PACKAGE)
    if group.channel_id in package.blacklist:
        return Decision(Verdict.BLACKLISTED)
    if not semver.is_older(standing.version, package.version):
        return Decision(Verdict.CURRENT)
    if question.oem and question.oem in oems(group.oem_blacklist):
        return Decision(Verdict.EXCLUDED, question.oem)
    if not is_readable(group.policy):
        return Decision(Verdict.UNREADABLE)
    return None


def _gates(question: Question) -> Decision | None:
    """What shuts a whole group."""
    group = question.group
    if not group.policy.updates_enabled:
        return Decision(Verdict.DISABLED, group.pause_reason)
    if group.policy.office_hours and not is_open(question.local):
        zone = group.policy.timezone or "no time zone"
        return Decision(Verdict.CLOSED, zone)
    return None


def is_open(local: Local | None) -> bool:
    """Monday to Friday, 09:00 to 16:59; never where the time is not known."""
    return local is not None and local.weekday < _SATURDAY and OPENS_H <= local.hour < CLOSES_H


def _is_regrant(question: Question) -> bool:
    """It has this very grant: served again, for the first answer may have been lost."""
    standing, package = question.standing, question.package
    return (
        question.style is Style.FRIENDLY
        and standing.in_progress
        and package is not None
        and standing.granted_version == package.version
    )


def _personal(question: Question) -> Decision | None:
    """What holds for this machine alone."""
    standing, policy, package = question.standing, question.group.policy, question.package
    if question.style is Style.FRIENDLY and package is not None:
        failed_this = standing.failed_version == package.version
        if failed_this and question.now_us < standing.retry_us:
            return Decision(Verdict.FAILED_BEFORE, f"{standing.failures} failures")
    percent = rollout.percent_at(policy, question.now_us)
    if not rollout.is_within(standing.instance_id, percent):
        return Decision(Verdict.PERCENT, f"{percent:g}%")
    return None


def _numbers(question: Question, stats: Stats) -> Decision:
    """What the group's numbers allow."""
    policy, style = question.group.policy, question.style
    most = limits(policy).max_updates
    tried = stats.succeeded if style is Style.FRIENDLY else stats.attempted
    if policy.safe_mode and tried == 0:
        most = min(most, 1)
    if stats.granted_in_period >= most:
        return Decision(Verdict.PER_PERIOD, f"{most} in {policy.period_interval}")
    if stats.in_progress >= most:
        return Decision(Verdict.CONCURRENT, str(most))
    if stats.timed_out >= most:
        return _timed_out(question, stats, most)
    if policy.canaries > stats.succeeded:
        return _canary(question, stats)
    return Decision(Verdict.GRANT)


def _canary(question: Question, stats: Stats) -> Decision:
    """The first ones: nobody else until all of them are there."""
    policy = question.group.policy
    if stats.timed_out:
        return _timed_out(question, stats, policy.canaries)
    on_the_way = stats.granted - stats.attempted
    if stats.succeeded + on_the_way >= policy.canaries:
        done = f"{stats.succeeded} of {policy.canaries} are done"
        return Decision(Verdict.CANARIES, done)
    return Decision(Verdict.GRANT)


def _timed_out(question: Question, stats: Stats, most: int) -> Decision:
    timeout = question.group.policy.update_timeout
    many = "an update" if stats.timed_out == 1 else f"{stats.timed_out} updates"
    return Decision(Verdict.TIMED_OUT, str(most), pause=f"{many} did not end within {timeout}")
