"""Man pages say what the programs do: generated from the same tables, and complete."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coreos_py.commands import CLI, DAEMON, OWN, ROWS
from coreos_py.suite import programs

ROOT = Path(__file__).resolve().parents[2]
MAN = ROOT / "man"
PAGED = [row for row in ROWS if row.page]


def _page(row):
    name, _, section = row.page.rstrip(")").partition("(")
    return MAN / f"{name}.{section}"


@pytest.fixture(scope="module")
def mkman():
    sys.path.insert(0, str(ROOT / "packaging"))
    try:
        import mkman as module
    finally:
        sys.path.pop(0)
    return module


@pytest.mark.parametrize("source", sorted(MAN.glob("*.in")), ids=lambda path: path.stem)
def test_pages_are_up_to_date(mkman, source):
    assert source.with_suffix("").read_text() == mkman.render(source.read_text()), (
        "run packaging/mkman.py and commit what it writes"
    )


def test_every_page_has_a_source():
    pages = {path.name for path in MAN.iterdir() if path.suffix != ".in"}
    assert pages == {path.stem for path in MAN.glob("*.in")}


@pytest.mark.parametrize("row", PAGED, ids=lambda row: row.name)
def test_every_finished_command_has_a_page(row):
    assert f".Nm {row.name}" in _page(row).read_text()


def _flags_in_page(text):
    found = set()
    for line in text.splitlines():
        if line.startswith(".It Fl "):
            words = line.split()
            for at, word in enumerate(words[:-1]):
                if word == "Fl" and words[at + 1] != "Fl":
                    long = words[at - 1] == "Fl"
                    found.add(("--" if long else "-") + words[at + 1])
    return found


def _flags_in_help(text):
    """The flags at the start of the lines of help."""
    found = set()
    for line in text.splitlines():
        match = re.match(r"^ +((?:--?[A-Za-z0-9][\w.-]*(?: [^ ,]+)?(?:, )?)+)", line)
        if match:
            found |= set(re.findall(r"(?<![\w-])--?[A-Za-z0-9][\w.-]*", match[1]))
    return found


def _helps(row):
    """The help of a program and of each of its commands."""
    program = programs.of(row)
    assert program is not None, f"{row.target} has no PROGRAM"
    paths = [()]
    level = [(command,) for command in program.commands if not command.hidden]
    while level:
        paths += level
        level = [
            (*path, child) for path in level for child in path[-1].commands if not child.hidden
        ]
    from coreos_py.cli import helptext

    return "\n".join(helptext.render(program, path) for path in paths)


@pytest.mark.parametrize(
    "row", [row for row in PAGED if row.kind in (CLI, DAEMON)], ids=lambda row: row.name
)
def test_help_and_page_agree(row):
    # -h is help's, or a flag's of its own.
    in_page = _flags_in_page(_page(row).read_text()) - {"--cache-dir", "-h"}
    in_help = _flags_in_help(_helps(row)) - {"--help", "-h"}
    assert in_page == in_help


@pytest.mark.parametrize(
    "row", [row for row in PAGED if row.kind in (CLI, DAEMON)], ids=lambda row: row.name
)
def test_page_names_every_command_and_variable(row):
    program = programs.of(row)
    text = _page(row).read_text()

    def check(commands, prefix):
        for command in commands:
            if command.hidden:
                continue
            if command.commands:
                check(command.commands, f"{prefix}{command.name} ")
            else:
                assert f".It Ic {prefix}{command.name}" in text

    check(program.commands, "")
    for setting in program.settings:
        if setting.env and not setting.hidden:
            assert f".It Ev {setting.env}" in text


def test_own_page_names_every_verb():
    from coreos_py.cmd_coreos import coreos
    from coreos_py.commands import VERBS

    text = (MAN / "coreos.1").read_text()
    for verb in VERBS:
        assert f".It Ic {verb}" in text
    assert [row.name for row in ROWS if row.kind == OWN] == [coreos.name]


EXIT_CODES = {
    "coreos.1": {0, 1, 2, 70, 126, 127, 130, 141},
    "etcd.8": {0, 1, 2},
    "etcdctl.1": {0, 1, 2, 3, 4, 5},
    "fleetd.8": {0, 1, 2},
    "fleetctl.1": {0, 1, 2, 255},
}


@pytest.mark.parametrize("name", sorted(EXIT_CODES))
def test_exit_codes_are_named(name):
    text = (MAN / name).read_text()
    status = text[text.index(".Sh EXIT STATUS") :]
    status = status[: status.index(".Sh", 4)]
    found = {int(number) for number in re.findall(r"\b\d+\b", status.replace("etcdctl 2.3", ""))}
    assert EXIT_CODES[name] - {0} <= found


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
@pytest.mark.parametrize(
    "page", sorted(path for path in MAN.iterdir() if path.suffix != ".in"), ids=lambda p: p.name
)
def test_formatter_has_no_complaints(page):
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", page],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.stdout + done.stderr == ""
