"""Definitions read from unit files: fields, defaults, resets, refusals and what is reported."""

from __future__ import annotations

import pytest

from coreos_py.base import unitfile
from coreos_py.systemd.embedded.definition import (
    Condition,
    Dependencies,
    EnvironmentSource,
    Killing,
    Output,
)
from coreos_py.systemd.embedded.directives import define
from coreos_py.systemd.embedded.specifiers import Facts
from coreos_py.systemd.embedded.values import INFINITY, ExitSet

FACTS = Facts(machine_id="mid", hostname="host", user="joe", uid=1000, home="/home/joe")


def read(text, name="web@1.service"):
    return define(name, unitfile.parse(text), FACTS)


def service(text, name="web@1.service"):
    return read("[Service]\nExecStart=/bin/true\n" + text, name)


def test_a_full_unit():
    unit = read(
        "[Unit]\nDescription=Web %i\nAfter=a.service b@%i.service\nAfter=c.target\n"
        "BindsTo=a.service\nRequires=r.service\n"
        "[Service]\nType=notify\nExecStartPre=-/bin/a\nExecStart=/bin/b \\\n  --id %i\n"
        "Restart=on-failure\nRestartSec=2\nTimeoutStartSec=0\nTimeoutStopSec=5\n"
        "KillMode=mixed\nKillSignal=SIGINT\nSuccessExitStatus=75 SIGUSR1\n"
        "[Install]\nWantedBy=multi-user.target\n[X-Fleet]\nGlobal=true\n"
    )
    assert unit.warnings == ()
    assert unit.problem == ""
    assert unit.description == "Web 1"
    assert unit.title == "web@1.service - Web 1"
    assert unit.type == "notify"
    assert unit.notify_access == "main"
    assert unit.dependencies == Dependencies(
        after=("a.service", "b@1.service", "c.target"),
        binds_to=("a.service",),
        requires=("r.service",),
    )
    assert unit.command_list("ExecStartPre")[0].may_fail
    assert unit.command_list("ExecStart")[0].argv == ("/bin/b", "--id", "1")
    assert unit.command_list("ExecStop") == ()
    assert (unit.restart, unit.restart_s) == ("on-failure", 2)
    assert (unit.timeout_start_s, unit.timeout_stop_s) == (INFINITY, 5)
    assert unit.killing == Killing(mode="mixed", signal=2)
    assert unit.success == ExitSet(frozenset({75}), frozenset({10}))


def test_defaults():
    unit = service("")
    assert unit.type == "simple"
    assert (unit.timeout_start_s, unit.timeout_stop_s) == (90, 90)
    assert (unit.restart, unit.restart_s) == ("no", 0.1)
    assert (unit.start_limit_interval_s, unit.start_limit_burst) == (10, 5)
    assert unit.notify_access == "none"
    assert unit.execution.stderr == Output("inherit")
    assert service("Type=oneshot").timeout_start_s == INFINITY
    assert service("Type=oneshot\nTimeoutStartSec=3").timeout_start_s == 3


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("TimeoutSec=7", "timeout_stop_s", 7),
        ("TimeoutSec=7\nTimeoutStartSec=8", "timeout_start_s", 8),
        ("RestartSec=1\nRestartSec=", "restart_s", 0.1),
        ("StartLimitInterval=1min", "start_limit_interval_s", 60),
        ("StartLimitBurst=3", "start_limit_burst", 3),
        ("RemainAfterExit=yes", "remain_after_exit", True),
        ("PIDFile=web-%i.pid", "pid_file", "/run/web-1.pid"),
        ("PIDFile=/tmp/x.pid", "pid_file", "/tmp/x.pid"),
        ("SuccessExitStatus=1\nSuccessExitStatus=2", "success", ExitSet(frozenset({1, 2}))),
        ("SuccessExitStatus=1\nSuccessExitStatus=", "success", ExitSet()),
        ("RuntimeMaxSec=1h", "runtime_max_s", 3600),
        ("NotifyAccess=all", "notify_access", "all"),
        ("WatchdogSec=10", "notify_access", "main"),
    ],
)
def test_service_fields(text, field, expected):
    unit = service(text)
    assert unit.warnings == ()
    assert getattr(unit, field) == expected


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        ("User=joe\nGroup=%p", "group", "web"),
        ("WorkingDirectory=-/srv/%i", "working_directory", "/srv/1"),
        ("WorkingDirectory=~", "working_directory", "~"),
        ("WorkingDirectory=-/srv", "working_directory_optional", True),
        ("UMask=0077", "umask", 0o77),
        ("LimitNOFILE=10:20\nLimitNPROC=5", "limits", (("NOFILE", 10, 20), ("NPROC", 5, 5))),
        ("LimitNOFILE=10\nLimitNOFILE=", "limits", ()),
        ('Environment=A=1 "B=x y"\nEnvironment=A=2', "environment", (("A", "2"), ("B", "x y"))),
        ("Environment=A=1\nEnvironment=\nEnvironment=B=%m", "environment", (("B", "mid"),)),
        (
            "EnvironmentFile=-/etc/environment\nEnvironmentFile=/run/%i",
            "environment_files",
            (EnvironmentSource("/etc/environment", True), EnvironmentSource("/run/1")),
        ),
        ("EnvironmentFile=/a\nEnvironmentFile=", "environment_files", ()),
        ("PassEnvironment=A B\nPassEnvironment=C", "pass_environment", ("A", "B", "C")),
        ("StandardOutput=null", "stdout", Output("null")),
        ("StandardOutput=append:/tmp/%i.log", "stdout", Output("append", "/tmp/1.log")),
        ("StandardOutput=syslog+console", "stdout", Output()),
        ("StandardError=journal", "stderr", Output()),
        ("SyslogIdentifier=me", "identifier", "me"),
    ],
)
def test_execution_fields(text, field, expected):
    unit = service(text)
    assert unit.warnings == ()
    assert getattr(unit.execution, field) == expected


def test_exec_lists_add_up_and_reset():
    unit = service("ExecStop=/bin/a\nExecStop=/bin/b ; /bin/c\n")
    assert [command.path for command in unit.command_list("ExecStop")] == [
        "/bin/a",
        "/bin/b",
        "/bin/c",
    ]
    unit = service("ExecStart=\nExecStart=/bin/other\n")
    assert [command.path for command in unit.command_list("ExecStart")] == ["/bin/other"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ConditionPathExists=/a/%i", Condition("PathExists", "/a/1")),
        ("ConditionPathExists=|!/a", Condition("PathExists", "/a", negate=True, trigger=True)),
        ("AssertFileNotEmpty=!/a", Condition("FileNotEmpty", "/a", negate=True, is_assert=True)),
        ("ConditionHost=x", Condition("Host", "x")),
    ],
)
def test_conditions(text, expected):
    assert read(f"[Unit]\n{text}\n[Service]\nExecStart=/bin/true\n").conditions == (expected,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[Service]\n", "no ExecStart= and no ExecStop="),
        ("", "no ExecStart= and no ExecStop="),
        ("[Service]\nType=simple\nExecStop=/bin/a\n", "no ExecStart= setting"),
        ("[Service]\nExecStop=/bin/a\n", "requires RemainAfterExit=yes"),
        ("[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n", "more than one ExecStart="),
        ("[Service]\nExecStart=/bin/a ; /bin/b\n", "more than one ExecStart="),
        ("[Service]\nType=oneshot\nRestart=always\nExecStart=/bin/a\n", "Restart=always is not"),
        ("[Service]\nExecStart=bin/a\n", "ExecStart=bin/a is not valid"),
        ("[Service]\nExecStart=/bin/a 'x\n", "unbalanced"),
    ],
)
def test_problems(text, problem):
    assert problem in read(text).problem


def test_a_unit_without_commands_that_remains_is_fine():
    assert read("[Service]\nRemainAfterExit=yes\nExecStop=/bin/a\n").problem == ""


def test_other_unit_types_are_held_but_cannot_start():
    assert read("[Timer]\nOnCalendar=daily\n", "a.timer").problem == (
        "units of type timer need systemd"
    )


def test_each_unknown_directive_is_reported_once_by_name():
    unit = service("Slice=a.slice\nSlice=b.slice\nIOWeight=5\n[Unit]\nIgnoreOnIsolate=yes\n")
    assert unit.warnings == (
        "web@1.service: [Service] Slice= is not supported by the embedded unit manager, ignored",
        "web@1.service: [Service] IOWeight= is not supported by the embedded unit manager, ignored",
        "web@1.service: [Unit] IgnoreOnIsolate= is not supported by the embedded unit manager,"
        " ignored",
    )


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("RestartSec=soon", "[Service] RestartSec=soon is not valid, ignored: not a time span"),
        ("Restart=maybe", "[Service] Restart=maybe is not valid, ignored: expected one of no,"),
        ("KillSignal=SIGX", "KillSignal=SIGX is not valid"),
        ("Environment=A B=1", "Environment: A is not an assignment"),
        ("EnvironmentFile=x", "path is not absolute"),
        ("WorkingDirectory=x", "path is not absolute"),
        ("StandardOutput=tty", "StandardOutput=tty is not supported, output goes to the journal"),
        ("StandardInput=tty", "StandardInput=tty is not supported, input is empty"),
        ("Type=dbus", "Type=dbus is treated as Type=exec"),
        ("LimitNOFILE=x", "LimitNOFILE=x is not valid"),
        ("StartLimitBurst=x", "StartLimitBurst=x is not valid"),
    ],
)
def test_bad_values_are_reported_and_ignored(text, warning):
    unit = service(text)
    assert len(unit.warnings) == 1
    assert warning in unit.warnings[0]
    assert unit.problem == ""
