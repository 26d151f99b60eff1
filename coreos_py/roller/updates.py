"""One instance's word, carried into the database: it checks in, reports events, asks for updates.

Every function runs inside the transaction of one request. What is decided is decided by the pure
parts: policy, judge.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.omaha.request import Event
from coreos_py.roller import judge, policy, semver, zones
from coreos_py.roller.db import activity, channels, events, groups, instances, packages
from coreos_py.roller.db.driver import Tx
from coreos_py.roller.db.events import Origin
from coreos_py.roller.judge import Report, Ruling
from coreos_py.roller.policy import Decision, Question, Verdict
from coreos_py.roller.records import (
    DAY_US,
    ActivityClass,
    App,
    EventEntry,
    Group,
    Instance,
    Package,
    PackageType,
    Severity,
    Standing,
    Stats,
    Status,
    Style,
)

VERSION_MAX = semver.LENGTH_MAX
_INT32_MAX = (1 << 31) - 1
_NAMED_MAX = 3  # of the instances that timed out


class Caller(NamedTuple):
    """Who reports, about which application, in which group."""

    style: Style
    app: App
    group: Group
    machine: Instance  # as the request describes it
    version: str
    now_us: int
    changed: set[tuple[str, str]]  # call.Call's

    def tell(self, *kinds: str) -> None:
        """Dashboards look again at what is of these kinds."""
        self.changed.update((kind, self.app.id) for kind in kinds)


def register(tx: Tx, caller: Caller) -> Standing:
    """Note that an instance was here, and what it runs."""
    now_us, group = caller.now_us, caller.group
    instances.retire(tx, now_us)
    known = instances.find(tx, caller.machine.id)
    rebooted = _meet(tx, caller, known)
    before = instances.standing(tx, caller.machine.id, caller.app.id)
    if before is None:
        after = Standing(caller.machine.id, caller.app.id, group.id, caller.version, now_us, now_us)
        instances.save(tx, None, after, now_us)
        caller.tell("instance")
        return after
    if caller.style is Style.FRIENDLY:
        period_us = policy.limits(group.policy).period_us
        ruling = judge.on_check(
            before, caller.version, rebooted=rebooted, now_us=now_us, period_us=period_us
        )
        if ruling.completed or ruling.failed:
            before = _apply(tx, caller, before, ruling)
    after = before._replace(
        group_id=group.id, version=caller.version, last_check_us=now_us, seen=True
    )
    instances.save(tx, before, after, now_us)
    if before.version != after.version or before.group_id != after.group_id:
        caller.tell("instance")
    return after


def _meet(tx: Tx, caller: Caller, known: Instance | None) -> bool:
    """Write what is new about a machine; whether it has booted since it was here.

    Of a machine with several applications nobody can tell: not all clients mean the kernel's boot.
    """
    machine = caller.machine
    if known is None:
        instances.put(tx, None, machine._replace(created_us=caller.now_us))
        return False
    told = Instance(
        known.id,
        machine.ip,
        known.created_us,
        known.alias or machine.alias,  # an operator's name stays
        *(new or old for new, old in zip(machine[4:], known[4:], strict=True)),
    )
    instances.put(tx, known, told)
    if not known.boot_id or known.boot_id == told.boot_id:
        return False
    return len(instances.standings(tx, known.id)) == 1


def report(tx: Tx, caller: Caller, event: Event) -> None:
    """Keep an event, and let it have its consequences."""
    standing = instances.standing(tx, caller.machine.id, caller.app.id)
    version = caller.version
    if not semver.is_valid(version):
        version = standing.version if standing else ""
    period_us = policy.limits(caller.group.policy).period_us
    told = Report(event, version, caller.now_us, period_us)
    ruling = judge.judge(caller.style, told, standing)
    if ruling.is_news:
        origin = Origin(caller.machine.id, caller.app.id, caller.group.id, caller.version)
        _keep(tx, origin, event, ruling.ignored, caller.now_us)
    if standing is not None and ruling.standing is not None and not ruling.ignored:
        _apply(tx, caller, standing, ruling)


def keep(tx: Tx, origin: Origin, event: Event, now_us: int) -> None:
    """An event from a group that there is not: kept, without consequences."""
    if not judge.is_routine(event):
        _keep(tx, origin, event, judge.NO_GROUP, now_us)


def _keep(tx: Tx, origin: Origin, event: Event, ignored: str, now_us: int) -> None:
    """Numbers that no client can mean are cut to what the table holds, texts as well."""
    if max(abs(event.type), abs(event.result)) > _INT32_MAX:
        event = event._replace(type=_INT32_MAX, result=_INT32_MAX)
    code, previous = event.error_code, event.previous_version
    if previous is not None:
        previous = previous[:VERSION_MAX]
    origin = origin._replace(version=origin.version[:VERSION_MAX])
    events.add(tx, origin, EventEntry(event.type, event.result, code, previous, now_us, ignored))


def _apply(tx: Tx, caller: Caller, before: Standing, ruling: Ruling) -> Standing:
    """Write the ruling, and what follows from it for the group that granted the update."""
    after = ruling.standing or before
    if after != before:
        instances.save(tx, before, after, caller.now_us)
        caller.tell("instance")
    if after.group_id != caller.group.id and caller.style is Style.FRIENDLY:
        granter = groups.find(tx, after.group_id or "")  # it has moved since
        if granter is None:
            return after
        caller = caller._replace(group=granter)
    if ruling.completed:
        _completed(tx, caller, after)
    elif ruling.failed:
        _failed(tx, caller, after, ruling.failed)
    return after


def _completed(tx: Tx, caller: Caller, standing: Standing) -> None:
    group = caller.group
    version = _target(tx, group)
    counts = instances.tallies(tx, group.id)
    total = sum(item.running for item in counts.values())
    if caller.style is Style.COREROLLER:
        mine = counts.get(version)
        is_over = mine is not None and mine.succeeded == total
    else:
        there = sum(n.running for v, n in counts.items() if not semver.is_older(v, version))
        is_over = group.rollout_in_progress and bool(version) and there == total
    if is_over:
        groups.set_rollout_in_progress(tx, group.id, under_way=False)
        finished = standing.granted_version or version
        _note(tx, caller, ActivityClass.ROLLOUT_FINISHED, Severity.SUCCESS, finished)


def _failed(tx: Tx, caller: Caller, standing: Standing, how: str) -> None:
    group, version = caller.group, standing.granted_version or standing.version
    activity.add(
        tx,
        ActivityClass.INSTANCE_UPDATE_FAILED,
        Severity.ERROR,
        version=version,
        app_id=caller.app.id,
        group_id=group.id,
        instance_id=standing.instance_id,
        now_us=caller.now_us,
        note=how,
    )
    caller.tell("activity")
    target = _target(tx, group)
    if caller.style is Style.FRIENDLY and version != target:
        return  # the channel has moved on: no word against what it points to now
    stats = _stats(tx, group, target, caller.now_us)
    reason = judge.why_stop(caller.style, group, standing, how, stats)
    if reason:
        groups.disable(tx, group.id, reason)
        groups.set_rollout_in_progress(tx, group.id, under_way=False)
        _note(tx, caller, ActivityClass.ROLLOUT_FAILED, Severity.ERROR, version, reason)


def ask(tx: Tx, caller: Caller) -> tuple[Decision, Package | None]:
    """An instance asks for an update: the decision, and the package if it gets one."""
    standing = register(tx, caller)
    if caller.style is Style.FRIENDLY:
        standing = _supersede(tx, caller, standing)
    group = groups.find(tx, caller.group.id) or caller.group  # events may have paused it
    question, decision = _decide(tx, caller.style, group, standing, caller.now_us)
    if decision.verdict is Verdict.GRANT and question.package is not None:
        _grant(tx, caller, question, question.package)
    else:
        _refuse(tx, caller, question, decision)
    has_package = decision.verdict in (Verdict.GRANT, Verdict.AGAIN)
    return decision, question.package if has_package else None


def outlook(tx: Tx, style: Style, group: Group, standing: Standing, now_us: int) -> Decision:
    """What would be decided if this instance asked now; nothing is written."""
    return _decide(tx, style, group, standing, now_us)[1]


def _oem(tx: Tx, group: Group, standing: Standing) -> str:
    """An instance's OEM, where it matters."""
    machine = instances.find(tx, standing.instance_id) if group.oem_blacklist else None
    return machine.oem if machine is not None else ""


def _decide(
    tx: Tx, style: Style, group: Group, standing: Standing, now_us: int
) -> tuple[Question, Decision]:
    package = package_of(tx, group)
    flaw = unfit(package) if package is not None and style is Style.FRIENDLY else ""
    question = Question(
        style,
        group,
        standing,
        None if flaw else package,
        zones.local(group.policy.timezone, now_us),
        now_us,
        _oem(tx, group, standing),
    )
    version = package.version if package is not None else ""
    decision = policy.decide(question, lambda: _stats(tx, group, version, now_us))
    if flaw and decision.verdict is Verdict.NO_PACKAGE:
        decision = decision._replace(detail=f"{version} {flaw}")
    return question, decision


def package_of(tx: Tx, group: Group) -> Package | None:
    """What a group's channel points to."""
    channel = channels.find(tx, group.channel_id) if group.channel_id else None
    if channel is None or channel.package_id is None:
        return None
    return packages.find(tx, channel.package_id)


def unfit(package: Package) -> str:
    """Why no client could use this package; "" for one that is complete."""
    if package.type != PackageType.COREOS:
        return ""
    if package.action is None or not package.action.sha256:
        return "has no SHA-256"
    if not (package.size or "").isdecimal() or not int(package.size or "0"):
        return "has no size"
    return "" if package.filename else "has no file name"


def _supersede(tx: Tx, caller: Caller, standing: Standing) -> Standing:
    """The channel has moved on under an update: its place is free, the new one is asked for."""
    package = package_of(tx, caller.group)
    if package is None or not standing.in_progress:
        return standing
    if standing.granted_version == package.version:
        return standing
    after = standing._replace(in_progress=False, status=None)
    instances.save(tx, standing, after, caller.now_us)
    return after


def _grant(tx: Tx, caller: Caller, question: Question, package: Package) -> None:
    standing, group = question.standing, question.group
    counts = instances.tallies(tx, group.id)
    is_first = package.version not in counts or not counts[package.version].granted
    after = standing._replace(
        status=Status.UPDATE_GRANTED,
        granted_us=caller.now_us,
        granted_version=package.version,
        in_progress=True,
    )
    instances.save(tx, standing, after, caller.now_us)
    caller.tell("instance")
    if is_first:
        _note(tx, caller, ActivityClass.ROLLOUT_STARTED, Severity.INFO, package.version)
    if not group.rollout_in_progress:
        groups.set_rollout_in_progress(tx, group.id, under_way=True)
        caller.tell("group")


def _refuse(tx: Tx, caller: Caller, question: Question, decision: Decision) -> None:
    standing, group = question.standing, question.group
    if decision.pause:
        reason = decision.pause + _names(tx, caller)
        if caller.style is Style.FRIENDLY:
            groups.pause(tx, group, reason, caller.now_us)
        else:
            groups.disable(tx, group.id, reason)
        caller.tell("group", "activity")
    if decision.verdict in policy.WAITING and standing.status is not Status.ON_HOLD:
        after = standing._replace(status=Status.ON_HOLD)
        instances.save(tx, standing, after, caller.now_us)
        caller.tell("instance")
    if decision.verdict is Verdict.NO_PACKAGE:
        _no_package(tx, caller, decision)


def _no_package(tx: Tx, caller: Caller, decision: Decision) -> None:
    """CoreRoller tells it at every check; once a day is enough for people."""
    kind, now_us = ActivityClass.PACKAGE_NOT_FOUND, caller.now_us
    is_told = caller.style is Style.FRIENDLY and activity.since(
        tx, kind, caller.group.id, now_us - DAY_US
    )
    if not is_told:
        _note(tx, caller, kind, Severity.WARNING, "0.0.0", decision.detail)


def _names(tx: Tx, caller: Caller) -> str:
    """Which instances timed out."""
    timeout_us = policy.limits(caller.group.policy).timeout_us
    late = instances.overdue(tx, caller.group.id, caller.now_us - timeout_us, limit=_NAMED_MAX + 1)
    if not late:
        return ""
    names = [item.instance_id for item in late[:_NAMED_MAX]]
    return ": " + ", ".join(names) + (", …" if len(late) > _NAMED_MAX else "")


def _target(tx: Tx, group: Group) -> str:
    package = package_of(tx, group)
    return package.version if package is not None else ""


def _stats(tx: Tx, group: Group, version: str, now_us: int) -> Stats:
    numbers = policy.limits(group.policy)
    return instances.stats(
        tx,
        group.id,
        version,
        now_us=now_us,
        period_us=numbers.period_us,
        timeout_us=numbers.timeout_us,
        cap=max(numbers.max_updates, 1),
    )


def _note(
    tx: Tx,
    caller: Caller,
    kind: ActivityClass,
    severity: Severity,
    version: str,
    note: str = "",
) -> None:
    activity.add(
        tx,
        kind,
        severity,
        version=version,
        app_id=caller.app.id,
        group_id=caller.group.id,
        now_us=caller.now_us,
        note=note,
    )
    caller.tell("group", "activity")
