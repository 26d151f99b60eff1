"""A program's run: which command, with which settings, and what is said when it cannot."""

from __future__ import annotations

import sys
import types

import pytest

from coreos_py.cli.grammar import CODEGANGSTA, GO, PFLAG
from coreos_py.cli.program import Command, Program
from coreos_py.cli.settings import BOOL, INT, Setting

TARGET = "tests_stand_in:run"
GLOBALS = (
    Setting("endpoint", env="STANDIN_ENDPOINT", default="http://a", help="where the server is"),
    Setting("output", aliases=("o",), metavar="FORMAT", help="how to print"),
    Setting("debug", BOOL, help="say more"),
    Setting("version", BOOL, aliases=("v",), help="print the version"),
    Setting("old", hidden=True),
)
GET = Command(
    "get",
    TARGET,
    args="<key>",
    help="print a value",
    settings=(Setting("quorum", BOOL, help="ask the leader"), Setting("ttl", INT, "5")),
)
LIST = Command("list", TARGET, help="list members")
MEMBER = Command("member", help="about members", commands=(LIST,))
LIST_UNITS = Command("list-units", TARGET, help="list units", aliases=("lu",))
LIST_MACHINES = Command("list-machines", TARGET, help="list machines")
COMMANDS = (GET, MEMBER, LIST_UNITS, LIST_MACHINES)


@pytest.fixture
def calls(monkeypatch):
    made = []
    module = types.ModuleType("tests_stand_in")
    module.run = lambda call: made.append(call) or 7
    monkeypatch.setitem(sys.modules, "tests_stand_in", module)
    return made


def program(dialect, commands=COMMANDS, **options):
    texts = {"version": "1.2", "help": "a test"}
    return Program("standin", dialect, settings=GLOBALS, commands=commands, **texts, **options)


RUNS = [
    # dialect, words, path, endpoint, own flags given, args
    (CODEGANGSTA, "get k --quorum", "get", "http://a", {"quorum"}, ["k"]),
    (CODEGANGSTA, "--endpoint x get -ttl 3 k", "get", "x", {"ttl"}, ["k"]),
    (CODEGANGSTA, "member list", "member list", "http://a", set(), []),
    (CODEGANGSTA, "lu", "list-units", "http://a", set(), []),
    (PFLAG, "get k --quorum --endpoint y", "get", "y", {"quorum"}, ["k"]),
    (PFLAG, "--endpoint x get --endpoint y k", "get", "y", set(), ["k"]),
    (PFLAG, "--endpoint get get k", "get", "get", set(), ["k"]),
    (PFLAG, "--endpoint=x --debug get k", "get", "x", set(), ["k"]),
    (PFLAG, "-endpoint x get k", "get", "x", set(), ["k"]),
    (PFLAG, "list-m", "list-machines", "http://a", set(), []),
    (PFLAG, "g k -- --quorum", "get", "http://a", set(), ["k", "--quorum"]),
]


@pytest.mark.parametrize(("dialect", "words", "path", "endpoint", "given", "args"), RUNS)
def test_runs(calls, dialect, words, path, endpoint, given, args):
    assert program(dialect).run(["standin", *words.split()]) == 7
    (call,) = calls
    assert " ".join(part.name for part in call.path) == path
    assert call.settings["endpoint"] == endpoint
    assert {name for name in call.flags if call.flags.given(name)} == given
    assert call.args == args


def test_environment(calls, monkeypatch):
    monkeypatch.setenv("STANDIN_ENDPOINT", "from-env")
    program(CODEGANGSTA).run(["standin", "get", "k"])
    program(CODEGANGSTA).run(["standin", "--endpoint", "from-flag", "get", "k"])
    assert [call.settings["endpoint"] for call in calls] == ["from-env", "from-flag"]


def test_a_program_without_commands(calls):
    alone = program(GO, commands=(), target=TARGET)
    assert alone.run(["standin", "-o=json", "stray", "-debug"]) == 7
    assert calls[0].args == ["stray", "-debug"]
    assert calls[0].flags is calls[0].settings


SAID = [
    # dialect, words, exit code, start of stdout, stderr
    (CODEGANGSTA, "--help", 0, "NAME:\n   standin - a test\n", ""),
    (CODEGANGSTA, "", 0, "NAME:\n   standin - a test\n", ""),
    (CODEGANGSTA, "help get", 0, "NAME:\n   standin get - print a value\n", ""),
    (CODEGANGSTA, "get --help", 0, "NAME:\n   standin get - print a value\n", ""),
    (CODEGANGSTA, "member", 0, "NAME:\n   standin member - about members\n", ""),
    (CODEGANGSTA, "help member list", 0, "NAME:\n   standin member list - list", ""),
    (CODEGANGSTA, "member help list", 0, "NAME:\n   standin member list - list", ""),
    (CODEGANGSTA, "-v", 0, "standin version 1.2\n", ""),
    (CODEGANGSTA, "nosuch", 0, "No help topic for 'nosuch'\n", ""),
    (CODEGANGSTA, "help nosuch", 0, "No help topic for 'nosuch'\n", ""),
    (CODEGANGSTA, "get --nosuch", 0, "Incorrect Usage.\n\nNAME:\n   standin get", ""),
    (CODEGANGSTA, "--nosuch", 0, "Incorrect Usage.\n\nNAME:\n   standin - a test", ""),
    (PFLAG, "get --nosuch", 2, "NAME:\n   standin get", "Error: unknown flag: --nosuch\n"),
    (
        PFLAG,
        "nosuch",
        1,
        "",
        "standin: unknown command \"nosuch\"\nRun 'standin help' for usage.\n",
    ),
    (PFLAG, "list", 1, "", "standin: unknown command \"list\"\nRun 'standin help' for usage.\n"),
]


@pytest.mark.parametrize(("dialect", "words", "code", "out", "err"), SAID)
def test_says(calls, capsys, dialect, words, code, out, err):
    assert program(dialect).run(["standin", *words.split()]) == code
    captured = capsys.readouterr()
    assert captured.out.startswith(out)
    assert captured.err == err
    assert bool(out) == bool(captured.out)
    assert calls == []


def test_go_errors(capsys):
    alone = program(GO, commands=(), target=TARGET)
    assert alone.run(["standin", "-nosuch"]) == 2
    out, err = capsys.readouterr()
    assert err == "flag provided but not defined: -nosuch\n"
    assert out.startswith("NAME:")


def test_help_shows_every_visible_flag(capsys):
    program(PFLAG).run(["standin", "help", "get"])
    text = capsys.readouterr().out
    for shown in ("--quorum", "--ttl N", "(default 5)", "--output, -o FORMAT", "STANDIN_END"):
        assert shown in text
    assert "--old" not in text
