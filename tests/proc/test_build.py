"""The build: reproducible, and good for the next one without network."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.support import imports

pytestmark = [pytest.mark.proc, pytest.mark.slow]

NEEDED = ("coreos_py", "packaging", "man", "LICENSE")


@pytest.fixture(scope="module")
def sources(archive, tmp_path_factory):
    """A copy of what a build needs, with the wheels that were fetched before."""
    root = tmp_path_factory.mktemp("sources")
    for part in NEEDED:
        source = imports.ROOT / part
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(source, root / part, symlinks=True, ignore=ignore)
        else:
            shutil.copy(source, root / part)
    for cache in ("wheels", "accelerators"):
        shutil.copytree(imports.ROOT / "build" / cache, root / "build" / cache)
    return root


@pytest.fixture
def checkout(sources, tmp_path):
    """Another copy of the same sources, under a name of its own."""
    return lambda name: shutil.copytree(sources, tmp_path / name, symlinks=True)


def build(root, *, hash_seed):
    """packaging/build.py as build.sh runs it, but with no way to the network."""
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONHASHSEED": hash_seed,
        "TZ": "UTC",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "PIP_NO_INDEX": "1",
    }
    python = imports.ROOT / "build" / "venv" / "bin" / "python"
    subprocess.run(
        [python, "-s", "packaging/build.py"], cwd=root, env=env, check=True, capture_output=True
    )
    return (root / "dist" / "coreos.pyz").read_bytes()


def test_two_builds_are_the_same_bytes(checkout):
    first = build(checkout("first"), hash_seed="1")
    second = build(checkout("a-longer-directory-name"), hash_seed="2")
    assert first == second


def test_an_unchanged_archive_is_not_touched(checkout):
    root = checkout("again")
    build(root, hash_seed="0")
    before = (root / "dist" / "coreos.pyz").stat().st_ino
    build(root, hash_seed="0")
    assert (root / "dist" / "coreos.pyz").stat().st_ino == before


def test_links_follow_the_table(checkout):
    root = checkout("links")
    (root / "dist" / "bin").mkdir(parents=True)
    (root / "dist" / "bin" / "stale").symlink_to("../coreos.pyz")
    build(root, hash_seed="0")
    done = subprocess.run(
        [root / "dist" / "bin" / "coreos", "list"], capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.split()) == sorted(os.listdir(root / "dist" / "bin"))


def test_shiv_can_read_it(archive):
    code = "from shiv.info import main; main()"
    python = imports.ROOT / "build" / "venv" / "bin" / "python"
    words = [python, "-c", code, archive]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "coreos_py.multicall:main" in done.stdout
