"""README's first command, as an ordinary user: it walks through and leaves the cluster up."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from coreos_py.cluster import state
from tests.support.archive import ROOT, built
from tests.support.procs import environment

pytestmark = pytest.mark.proc

NOBODY = 65534


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A copy of what up.sh uses, owned by a user who is not root."""
    archive = built()
    top = Path(tempfile.mkdtemp(prefix="coreos-up-"))
    (top / "dist").mkdir()
    for name in ("coreos_py", "packaging/examples"):
        shutil.copytree(ROOT / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "packaging" / "up.sh", top / "packaging")
    shutil.copy(archive, top / "dist" / "coreos.pyz")
    os.utime(top / "dist" / "coreos.pyz")
    shutil.copytree(archive.parent / "bin", top / "dist" / "bin", symlinks=True)
    if os.geteuid() == 0:
        for path in [top, *top.rglob("*")]:
            os.lchown(path, NOBODY, NOBODY)
    yield top
    shutil.rmtree(top)


def as_user(top: Path, *words: str) -> subprocess.CompletedProcess[str]:
    root = os.geteuid() == 0
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if root else []
    return subprocess.run(
        [*drop, *words],
        env=environment({"HOME": str(top)}),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        cwd=top,
    )


@pytest.mark.timeout(2000)
def test_the_first_command(checkout: Path):
    directory = checkout / "cluster"
    try:
        done = as_user(checkout, "packaging/up.sh", str(directory))
        assert done.returncode == 0, done.stdout + done.stderr
        for i in (1, 2, 3):
            assert f"Hello /from/web@{i}\n" in done.stdout
            assert re.search(rf"Unit web@{i}\.service launched on .*127\.17\.", done.stdout)
        assert "and its announcement followed" in done.stdout
        assert "Hello /still/here\n" in done.stdout
        last = done.stdout.rpartition("$ fleetctl list-units")[2]
        assert len(re.findall(r"^web@\d\.service\s.*\sactive\s+running$", last, re.M)) == 3
        assert "To stop it and delete its state:" in last

        again = as_user(checkout, "packaging/up.sh", str(directory))
        assert again.returncode == 0, again
        assert again.stdout.count("running") == 4, again.stdout
    finally:
        down = as_user(checkout, "dist/bin/coreos", "cluster", "down", f"--dir={directory}")
    assert down.returncode == 0, down
    assert state.leftovers(str(directory)) == []
    assert not directory.exists()


@pytest.mark.parametrize("words", [["--nosuch"], ["one", "two"]])
def test_a_wrong_word(checkout: Path, words):
    done = as_user(checkout, "packaging/up.sh", *words)
    assert done.returncode == 2
    assert words[-1] in done.stderr
