"""The tree checks itself: layout, sizes, words, news."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from coreos_py import __version__
from coreos_py.commands import TABLE

ROOT = Path(__file__).resolve().parents[2]
TOP = {
    ".ci",
    ".gitignore",
    "HACKING.md",
    "LICENSE",
    "NEWS.md",
    "README.md",
    "coreos_py",
    "man",
    "packaging",
    "pyproject.toml",
    "shims",
    "tests",
}
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 100
BLOB_BYTES_MAX = 1 << 20

# Words that say a thing is not finished, or that the tree knows about the machine it was made on.
BANNED = (
    r"\b" + "TO" + r"DO\b",
    r"\bFIX" + r"ME\b",
    r"\bXX" + r"X\b",
    r"\bHA" + r"CK\b",
    r"(?<![\w.])/wo" + r"rk/",
    r"\.no" + r"tes/",
    r"/ro" + r"ot/\.pyenv",
    r"print\(.*DE" + r"BUG",
)


def _tracked():
    try:
        done = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    names = [name for name in done.stdout.decode().split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def _sources():
    return [path for path in _tracked() if path.suffix == ".py"]


def _name(path):
    return str(path.relative_to(ROOT))


def test_top_level():
    assert {_name(path).split("/")[0] for path in _tracked()} == TOP


def test_init_files_are_empty():
    full = [
        _name(path)
        for path in _sources()
        if path.name == "__init__.py" and path.read_text() and path.parent.name != "coreos_py"
    ]
    assert full == []


def test_sizes():
    long = [
        f"{_name(path)}: {count} lines"
        for path in _sources()
        if (count := path.read_text().count("\n")) > FILE_LINES_MAX
    ]
    for path in _sources():
        if _name(path).startswith("tests/"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = node.end_lineno - node.lineno + 1
                if count > FUNCTION_LINES_MAX:
                    long.append(f"{_name(path)}:{node.lineno} {node.name}: {count} lines")
    assert long == []
    assert [_name(path) for path in _tracked() if path.stat().st_size > BLOB_BYTES_MAX] == []


def test_every_module_says_what_it_is():
    silent = [
        _name(path)
        for path in _sources()
        if path.read_text().strip()
        and path.parent.name != "coreos_py"
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_banned_words():
    found = []
    for path in _tracked():
        if path == Path(__file__).resolve():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if any(re.search(word, line) for word in BANNED):
                found.append(f"{_name(path)}:{number}: {line.strip()}")
    assert found == []


def test_exceptions_are_not_swallowed():
    found = []
    for path in _sources():
        if _name(path).startswith("tests/"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                name = getattr(node.type, "id", "")
                broad = node.type is None or name in ("Exception", "BaseException")
                if broad and all(isinstance(part, ast.Pass | ast.Continue) for part in node.body):
                    found.append(f"{_name(path)}:{node.lineno}")
    assert found == []


def test_noqa_names_the_rule():
    wrong = []
    for path in _sources():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"#\s*noqa(?!: [A-Z]+\d+)", line) and path != Path(__file__).resolve():
                wrong.append(f"{_name(path)}:{number}")
    assert wrong == []


def test_scripts_are_executable():
    wrong = [
        _name(path)
        for path in _tracked()
        if path.read_bytes()[:2] == b"#!" and not path.stat().st_mode & 0o111
    ]
    assert wrong == []


def test_news_begins_with_this_version():
    headings = re.findall(r"^## (.+)$", (ROOT / "NEWS.md").read_text(), re.MULTILINE)
    assert headings[0] == __version__


def test_readme_begins_with_the_two_commands():
    blocks = re.findall(r"^    (\S.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    commands = [line for line in blocks if line.startswith("packaging/")]
    assert commands[:2] == ["packaging/up.sh", "packaging/test.sh"]


def test_license_is_whole():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_command_has_a_shim_and_an_entry_point():
    shims = {path.name for path in (ROOT / "shims").iterdir()}
    assert shims == set(TABLE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["scripts"]) == set(TABLE)
    assert set(project["scripts"].values()) == {"coreos_py.multicall:main"}


def test_what_is_declared_is_what_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for lock, wanted in (
        ("requirements.txt", project["dependencies"]),
        ("requirements-accelerators.txt", extras["accelerators"]),
        ("requirements-dev.txt", extras["dev"]),
    ):
        locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "packaging" / lock).read_text(), re.M))
        names = {re.split(r"[<>=\[]", item)[0].lower() for item in wanted}
        assert names - {"coreos-py", "shiv", "cryptography"} <= locked, lock
