"""The grammars against what the Go parsers did with the same words (tests/data/cli)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base import durations
from coreos_py.cli import grammar
from coreos_py.cli.grammar import CODEGANGSTA, GO, PFLAG, FlagError
from coreos_py.cli.settings import BOOL, DURATION, FLOAT, INT, STRINGS, UINT, Setting

DATA = Path(__file__).resolve().parents[2] / "data" / "cli" / "grammar.json"
NUMBERS = (
    Setting("count", INT),
    Setting("size", UINT),
    Setting("ratio", FLOAT),
    Setting("wait", DURATION),
)
GO_TABLE = (Setting("name"), Setting("s"), Setting("debug", BOOL), Setting("b", BOOL), *NUMBERS)
PFLAG_TABLE = (
    Setting("name"),
    Setting("str", aliases=("s",)),
    Setting("debug", BOOL),
    Setting("bool", BOOL, aliases=("b",)),
    *NUMBERS,
)
RECORDED = json.loads(DATA.read_text())


def _outcome(table, words, dialect):
    try:
        parsed = grammar.parse(table, words, dialect=dialect)
    except FlagError as err:
        return {"words": words, "flags": {}, "args": [], "error": str(err)}
    flags = {name: _go_text(name, value) for name, (_, value) in parsed.flags.items()}
    return {"words": words, "flags": flags, "args": parsed.args, "error": ""}


def _go_text(name, value):
    """A value as Go prints it."""
    if name == "wait":
        return durations.format(value)
    if name == "ratio":
        return {"inf": "+Inf"}.get(repr(value), repr(value).removesuffix(".0"))
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("case", RECORDED["go"], ids=lambda case: " ".join(case["words"]))
def test_go(case):
    assert _outcome(GO_TABLE, case["words"], GO) == case


def _is_older_spelling(words):
    """What pflag refuses and fleetctl before 1.0 took: one-dash long flags, `--s` for `-s`."""
    return any(
        word.startswith("-" + name) for word in words for name in ("name", "debug", "-s")
    ) and not any(word.startswith(("--size", "--str")) for word in words)


@pytest.mark.parametrize(
    "case",
    [case for case in RECORDED["pflag"] if not _is_older_spelling(case["words"])],
    ids=lambda case: " ".join(case["words"]),
)
def test_pflag(case):
    assert _outcome(PFLAG_TABLE, case["words"], PFLAG) == case


PFLAG_OLDER = [
    (["-name", "x"], {"name": "x"}, []),
    (["-name=x", "a"], {"name": "x"}, ["a"]),
    (["a", "-debug", "b"], {"debug": True}, ["a", "b"]),
    (["-debug=false"], {"debug": False}, []),
    (["--s", "x"], {"str": "x"}, []),
]


@pytest.mark.parametrize(("words", "flags", "args"), PFLAG_OLDER)
def test_pflag_takes_older_spellings(words, flags, args):
    parsed = grammar.parse(PFLAG_TABLE, words, dialect=PFLAG)
    assert {name: value for name, (_, value) in parsed.flags.items()} == flags
    assert parsed.args == args


CLI_TABLE = (Setting("quorum", BOOL), Setting("ttl", INT), Setting("hidden", STRINGS))
CODEGANGSTA_CASES = [
    # words, flags, args, dash
    ([], {}, [], -1),
    (["k"], {}, ["k"], -1),
    (["k", "--quorum"], {"quorum": True}, ["k"], -1),
    (["--quorum", "k"], {"quorum": True}, ["k"], -1),
    (["k", "v", "-ttl", "5"], {"ttl": 5}, ["k", "v"], -1),
    (["k", "--ttl", "5", "v"], {"ttl": 5}, ["k", "v"], -1),
    (["k", "--ttl=5", "v", "-quorum"], {"ttl": 5}, ["k", "v", "-quorum"], -1),
    (["--", "k", "-v"], {}, ["k", "-v"], 0),
    (["k", "--", "sh", "-c", "x"], {}, ["k", "sh", "-c", "x"], 1),
    (["k", "--quorum", "--", "sh", "-c"], {"quorum": True}, ["k", "sh", "-c"], 1),
    (["--quorum", "k", "--", "sh", "--ttl"], {"quorum": True}, ["k", "sh", "--ttl"], 1),
    (["k", "-"], {}, ["k", "-"], -1),
    (["k", "-", "--quorum"], {"quorum": True}, ["k", "-"], -1),
    (["--hidden", "a", "--hidden", "b"], {"hidden": ("a", "b")}, [], -1),
]


@pytest.mark.parametrize(("words", "flags", "args", "dash"), CODEGANGSTA_CASES)
def test_codegangsta(words, flags, args, dash):
    parsed = grammar.parse(CLI_TABLE, words, dialect=CODEGANGSTA)
    assert {name: value for name, (_, value) in parsed.flags.items()} == flags
    assert (parsed.args, parsed.dash) == (args, dash)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["k", "-v"], grammar.UNDEFINED),
        (["k", "--ttl"], grammar.NO_ARGUMENT),
        (["--ttl=x", "k"], grammar.BAD_VALUE),
        (["---"], grammar.BAD_SYNTAX),
        (["k", "--help"], grammar.HELP),
    ],
)
@pytest.mark.parametrize("dialect", [CODEGANGSTA, PFLAG])
def test_reasons(words, reason, dialect):
    with pytest.raises(FlagError) as caught:
        grammar.parse(CLI_TABLE, words, dialect=dialect)
    assert caught.value.reason == reason
    assert caught.value.exit_code == 2


@given(
    st.lists(st.sampled_from(["a", "--quorum", "--ttl=3", "--ttl", "7", "-", "b", "--x", "--"])),
    st.sampled_from([GO, CODEGANGSTA, PFLAG]),
)
def test_no_word_is_lost(words, dialect):
    """Every word ends up as a flag, a flag's value or a positional, in order."""
    try:
        parsed = grammar.parse(CLI_TABLE, words, dialect=dialect)
    except FlagError:
        return
    rest = iter(words)
    assert all(arg in rest for arg in parsed.args)
    assert len(parsed.args) <= len(words)
    if parsed.dash >= 0:
        assert parsed.dash <= len(parsed.args)
