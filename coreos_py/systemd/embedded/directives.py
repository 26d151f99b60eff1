"""From unit-file text to a Definition: one table row per directive that is understood. Pure.

Whatever has no row is reported by name and ignored, as is a value that systemd would not take.
Sections whose name starts with X- and [Install] say nothing about running a unit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from coreos_py.systemd.embedded import values
from coreos_py.systemd.embedded.command import Command, parse_commands
from coreos_py.systemd.embedded.definition import (
    Condition,
    Definition,
    Dependencies,
    EnvironmentSource,
    Execution,
    Killing,
    Output,
)
from coreos_py.systemd.embedded.environment import parse_assignment
from coreos_py.systemd.embedded.specifiers import Facts, expand, table
from coreos_py.systemd.embedded.words import logical_line, split_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.base.unitfile import UnitFile

    Handler = Callable[["_Reader", str, str], None]

TYPES = ("simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle")
RESTARTS = ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always")
KILL_MODES = ("control-group", "mixed", "process", "none")
NOTIFY_ACCESS = ("none", "main", "exec", "all")
EXEC_SETTINGS = (
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
    "ExecReload",
    "ExecStop",
    "ExecStopPost",
)
_LIMIT_WORDS = "AS CORE CPU DATA FSIZE MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME"
LIMITS = (*_LIMIT_WORDS.split(), "SIGPENDING", "STACK")
CONDITIONS = (
    "PathExists",
    "PathExistsGlob",
    "PathIsDirectory",
    "PathIsSymbolicLink",
    "DirectoryNotEmpty",
    "FileNotEmpty",
    "FileIsExecutable",
    "Host",
)
_OUTPUT_AS_JOURNAL = ("journal", "syslog", "kmsg")
# Settings that change nothing for a supervisor that has no boot sequence of its own.
_WITHOUT_MEANING = ("Documentation", "DefaultDependencies", "SourcePath", "BusName")


def define(name: str, unit: UnitFile, facts: Facts) -> Definition:
    """Read a unit file; never raises: what is wrong stands in `problem` and `warnings`."""
    reader = _Reader(name, facts)
    for section, key, value in unit.options:
        reader.option(section, key, logical_line(value))
    return reader.finish(unit.hash)


class _Reader:
    """The settings of one unit while they are collected."""

    def __init__(self, name: str, facts: Facts) -> None:
        self.name = name
        self.specifiers = table(name, facts)
        self.home = facts.home
        self.unit: dict[str, object] = {}
        self.killing: dict[str, object] = {}
        self.execution: dict[str, object] = {}
        self.dependencies: dict[str, list[str]] = {}
        self.commands: dict[str, list[Command]] = {}
        self.limits: dict[str, tuple[float, float]] = {}
        self.environment: dict[str, str] = {}
        self.conditions: list[Condition] = []
        self.warnings: dict[str, None] = {}
        self.problem = ""

    def option(self, section: str, key: str, value: str) -> None:
        if section == "Install" or section.startswith("X-") or key.startswith("X-"):
            return
        handler = _TABLES.get(section, {}).get(key)
        if handler is None:
            self.warn(f"[{section}] {key}= is not supported by the embedded unit manager, ignored")
            return
        try:
            handler(self, key, value)
        except ValueError as error:
            self.warn(f"[{section}] {key}={value} is not valid, ignored: {error}")
            if key in EXEC_SETTINGS and not self.problem:
                self.problem = f"{key}={value} is not valid: {error}"

    def warn(self, text: str) -> None:
        self.warnings[f"{self.name}: {text}"] = None

    def expand(self, text: str) -> str:
        return expand(text, self.specifiers)

    def finish(self, digest: str) -> Definition:
        unit = self.unit
        if "type" not in unit:
            unit["type"] = "simple" if self.commands.get("ExecStart") else "oneshot"
        if unit["type"] == "dbus":
            self.warn("Type=dbus is treated as Type=exec, bus names are not watched")
        if unit["type"] == "oneshot":
            unit.setdefault("timeout_start_s", values.INFINITY)
        says_ready = unit["type"] in ("notify", "notify-reload")
        if (says_ready or "watchdog_s" in unit) and unit.get("notify_access", "none") == "none":
            unit["notify_access"] = "main"
        unit["commands"] = {key: tuple(found) for key, found in self.commands.items() if found}
        self.execution["limits"] = tuple((key, *pair) for key, pair in self.limits.items())
        self.execution["environment"] = tuple(self.environment.items())
        names = {key: tuple(dict.fromkeys(found)) for key, found in self.dependencies.items()}
        definition = Definition(
            name=self.name,
            hash=digest,
            problem=self.problem,
            warnings=tuple(self.warnings),
            dependencies=Dependencies(**names),
            conditions=tuple(self.conditions),
            killing=Killing(**self.killing),  # type: ignore[arg-type]  # fields set by _TABLES
            execution=Execution(**self.execution),  # type: ignore[arg-type]  # same
            **unit,  # type: ignore[arg-type]  # same
        )
        return definition if self.problem else _checked(definition, unit)


def _checked(definition: Definition, unit: dict[str, object]) -> Definition:
    """Set `problem` for combinations systemd refuses to start."""
    starts = definition.command_list("ExecStart")
    problem = ""
    if not definition.name.endswith(".service"):
        problem = f"units of type {definition.name.rpartition('.')[2]} need systemd"
    elif not starts and definition.type != "oneshot":
        problem = "service has no ExecStart= setting, which is only allowed for Type=oneshot"
    elif not starts and not definition.commands:
        problem = "service has no ExecStart= and no ExecStop="
    elif not starts and not definition.remain_after_exit:
        problem = "service has no ExecStart=, which requires RemainAfterExit=yes"
    elif len(starts) > 1 and definition.type != "oneshot":
        problem = "service has more than one ExecStart=, which is only allowed for Type=oneshot"
    elif definition.type == "oneshot" and unit.get("restart") in ("always", "on-success"):
        problem = f"Restart={unit['restart']} is not allowed for Type=oneshot"
    return replace(definition, problem=problem) if problem else definition


def _set(target: str, field: str, parse: Callable[[str], object]) -> Handler:
    """A directive with one value; empty text goes back to the default."""

    def handle(reader: _Reader, key: str, value: str) -> None:
        fields: dict[str, object] = getattr(reader, target)
        if value:
            fields[field] = parse(reader.expand(value))
        else:
            fields.pop(field, None)

    return handle


def _choice(target: str, field: str, allowed: tuple[str, ...]) -> Handler:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return text

    return _set(target, field, parse)


def _timeout(text: str) -> float:
    # systemd takes 0 for "no timeout" in these settings only.
    return values.parse_span(text) or values.INFINITY


def _timeouts(reader: _Reader, key: str, value: str) -> None:
    for field in ("timeout_start_s", "timeout_stop_s"):
        _set("unit", field, _timeout)(reader, key, value)


def _count(text: str) -> int:
    if not text.isdigit():
        raise ValueError("not a number")
    return int(text)


def _names(field: str) -> Handler:
    def handle(reader: _Reader, key: str, value: str) -> None:
        found = reader.dependencies.setdefault(field, [])
        if not value:
            found.clear()
        found.extend(reader.expand(word) for word in split_words(value))

    return handle


def _exits(field: str) -> Handler:
    def handle(reader: _Reader, key: str, value: str) -> None:
        if not value:
            reader.unit.pop(field, None)
            return
        new = values.parse_exit_set(value)
        old = reader.unit.get(field, values.ExitSet())
        assert isinstance(old, values.ExitSet)
        reader.unit[field] = values.ExitSet(old.codes | new.codes, old.signals | new.signals)

    return handle


def _exec(reader: _Reader, key: str, value: str) -> None:
    if not value:
        reader.commands.pop(key, None)
        return
    reader.commands.setdefault(key, []).extend(parse_commands(value, reader.specifiers))


def _limit(reader: _Reader, key: str, value: str) -> None:
    name = key.removeprefix("Limit")
    if value:
        reader.limits[name] = values.parse_limit(name, value)
    else:
        reader.limits.pop(name, None)


def _environment(reader: _Reader, key: str, value: str) -> None:
    if not value:
        reader.environment.clear()
    for word in split_words(value):
        pair = parse_assignment(reader.expand(word))
        if pair is None:
            reader.warn(f"[Service] {key}: {word} is not an assignment, ignored")
        else:
            reader.environment[pair[0]] = pair[1]


def _environment_file(reader: _Reader, key: str, value: str) -> None:
    found = _list(reader, "environment_files")
    if not value:
        reader.execution["environment_files"] = ()
        return
    path = reader.expand(value.removeprefix("-"))
    if not path.startswith("/"):
        raise ValueError("path is not absolute")
    source = EnvironmentSource(path, value.startswith("-"))
    reader.execution["environment_files"] = (*found, source)


def _word_list(field: str) -> Handler:
    def handle(reader: _Reader, key: str, value: str) -> None:
        found = _list(reader, field)
        words = tuple(reader.expand(word) for word in split_words(value))
        reader.execution[field] = (*found, *words) if value else ()

    return handle


def _list(reader: _Reader, field: str) -> tuple[object, ...]:
    found = reader.execution.get(field, ())
    assert isinstance(found, tuple)
    return found


def _working_directory(reader: _Reader, key: str, value: str) -> None:
    optional = value.startswith("-")
    path = reader.expand(value.removeprefix("-"))
    if path and path != "~" and not path.startswith("/"):
        raise ValueError("path is not absolute")
    reader.execution["working_directory"] = path
    reader.execution["working_directory_optional"] = optional


def _output(field: str) -> Handler:
    def handle(reader: _Reader, key: str, value: str) -> None:
        kind, _, path = reader.expand(value).partition(":")
        if kind.removesuffix("+console") in _OUTPUT_AS_JOURNAL:
            reader.execution[field] = Output()
        elif kind in ("file", "append", "truncate") and path.startswith("/"):
            reader.execution[field] = Output(kind, path)
        elif kind in ("null", "inherit") and not path:
            reader.execution[field] = Output(kind)
        elif not value:
            reader.execution.pop(field, None)
        else:
            reader.warn(f"[Service] {key}={value} is not supported, output goes to the journal")
            reader.execution[field] = Output()

    return handle


def _input(reader: _Reader, key: str, value: str) -> None:
    if value not in ("", "null"):
        reader.warn(f"[Service] {key}={value} is not supported, input is empty")


def _condition(reader: _Reader, key: str, value: str) -> None:
    is_assert = key.startswith("Assert")
    if not value:
        reader.conditions.clear()
        return
    trigger = value.startswith("|")
    rest = value.removeprefix("|").lstrip()
    negate = rest.startswith("!")
    argument = reader.expand(rest.removeprefix("!").lstrip())
    kind = key.removeprefix("Assert" if is_assert else "Condition")
    if kind != "Host" and not argument.startswith("/"):
        raise ValueError("path is not absolute")
    reader.conditions.append(Condition(kind, argument, negate, trigger, is_assert))


def _nothing(reader: _Reader, key: str, value: str) -> None:
    """A directive that is understood to change nothing here."""


def _pid_file(text: str) -> str:
    return text if text.startswith("/") else f"/run/{text}"


_BOTH: dict[str, Handler] = {
    "StartLimitInterval": _set("unit", "start_limit_interval_s", values.parse_span),
    "StartLimitBurst": _set("unit", "start_limit_burst", _count),
    **dict.fromkeys(_WITHOUT_MEANING, _nothing),
}
_UNIT: dict[str, Handler] = {
    **_BOTH,
    "Description": _set("unit", "description", str),
    "StartLimitIntervalSec": _set("unit", "start_limit_interval_s", values.parse_span),
    "Requires": _names("requires"),
    "Requisite": _names("requisite"),
    "Wants": _names("wants"),
    "BindsTo": _names("binds_to"),
    "BindTo": _names("binds_to"),
    "PartOf": _names("part_of"),
    "Conflicts": _names("conflicts"),
    "After": _names("after"),
    "Before": _names("before"),
    **{f"Condition{kind}": _condition for kind in CONDITIONS},
    **{f"Assert{kind}": _condition for kind in CONDITIONS},
}
_SERVICE: dict[str, Handler] = {
    **_BOTH,
    **dict.fromkeys(EXEC_SETTINGS, _exec),
    **{f"Limit{name}": _limit for name in LIMITS},
    "Type": _choice("unit", "type", TYPES),
    "PIDFile": _set("unit", "pid_file", _pid_file),
    "GuessMainPID": _set("unit", "guess_main_pid", values.parse_bool),
    "RemainAfterExit": _set("unit", "remain_after_exit", values.parse_bool),
    "Restart": _choice("unit", "restart", RESTARTS),
    "RestartSec": _set("unit", "restart_s", values.parse_span),
    "TimeoutStartSec": _set("unit", "timeout_start_s", _timeout),
    "TimeoutStopSec": _set("unit", "timeout_stop_s", _timeout),
    "TimeoutSec": _timeouts,
    "RuntimeMaxSec": _set("unit", "runtime_max_s", _timeout),
    "WatchdogSec": _set("unit", "watchdog_s", _timeout),
    "NotifyAccess": _choice("unit", "notify_access", NOTIFY_ACCESS),
    "SuccessExitStatus": _exits("success"),
    "RestartPreventExitStatus": _exits("restart_prevent"),
    "RestartForceExitStatus": _exits("restart_force"),
    "KillMode": _choice("killing", "mode", KILL_MODES),
    "KillSignal": _set("killing", "signal", values.parse_signal),
    "FinalKillSignal": _set("killing", "final_signal", values.parse_signal),
    "SendSIGKILL": _set("killing", "send_sigkill", values.parse_bool),
    "SendSIGHUP": _set("killing", "send_sighup", values.parse_bool),
    "User": _set("execution", "user", str),
    "Group": _set("execution", "group", str),
    "SupplementaryGroups": _word_list("supplementary_groups"),
    "WorkingDirectory": _working_directory,
    "UMask": _set("execution", "umask", values.parse_mode),
    "Environment": _environment,
    "EnvironmentFile": _environment_file,
    "PassEnvironment": _word_list("pass_environment"),
    "UnsetEnvironment": _word_list("unset_environment"),
    "StandardInput": _input,
    "StandardOutput": _output("stdout"),
    "StandardError": _output("stderr"),
    "SyslogIdentifier": _set("execution", "identifier", str),
}
_TABLES = {"Unit": _UNIT, "Service": _SERVICE}
