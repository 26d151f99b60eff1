"""`coreos install`: idempotent, and never at the cost of somebody else's file."""

from __future__ import annotations

import os
import zipfile

import pytest

from coreos_py import __version__
from coreos_py.base.errors import CoreosError
from coreos_py.commands import TABLE
from coreos_py.suite import install as work

BUILD = "0123456789ab"


@pytest.fixture
def source(tmp_path):
    """A file that counts as an archive of ours."""
    return _archive(tmp_path / "coreos.pyz", b"one")


def _archive(path, content):
    with path.open("wb") as out:
        out.write(b"#!/usr/bin/python3 -IS\n")
        with zipfile.ZipFile(out, "w") as target:
            target.writestr("coreos_py/multicall.py", content)
    return path


@pytest.fixture
def place(tmp_path):
    directory = tmp_path / "usr" / "bin"
    directory.mkdir(parents=True)
    return directory


def install(place, source, *, build=BUILD, **options):
    said = []
    plan = work.plan(str(place), **options)
    refused = work.install(plan, archive=str(source), build=build, say=said.append)
    return said, refused


def tree(path):
    """Every file below, with what it is."""
    found = {}
    for directory, names, files in os.walk(path):
        for name in names + files:
            item = os.path.join(directory, name)  # noqa: PTH118 - os.walk gives strings
            if os.path.islink(item):  # noqa: PTH114
                found[os.path.relpath(item, path)] = os.readlink(item)  # noqa: PTH115
            elif name in files:
                with open(item, "rb") as data:  # noqa: PTH123
                    found[os.path.relpath(item, path)] = data.read()
    return found


def test_twice_is_once(place, source, tmp_path):
    said, refused = install(place, source)
    stored = f"coreos-{__version__}-{BUILD}.pyz"
    assert refused == []
    assert said[0] == f"installed {tmp_path}/usr/lib/coreos/{stored}"
    assert len(said) == 1 + len(TABLE)
    expected = {f"bin/{name}": f"../lib/coreos/{stored}" for name in TABLE}
    expected[f"lib/coreos/{stored}"] = source.read_bytes()
    assert tree(tmp_path / "usr") == expected
    assert (tmp_path / "usr/lib/coreos" / stored).stat().st_mode & 0o777 == 0o755
    assert install(place, source) == ([], [])
    assert tree(tmp_path / "usr") == expected


def test_a_new_version_takes_over_and_the_old_file_stays(place, source, tmp_path):
    install(place, source)
    newer = _archive(tmp_path / "newer.pyz", b"two")
    said, refused = install(place, newer, build="ba9876543210")
    assert refused == []
    assert len(said) == 1 + len(TABLE)
    assert len(os.listdir(tmp_path / "usr/lib/coreos")) == 2
    assert (place / "etcd").read_bytes() == newer.read_bytes()


def test_uninstall_leaves_nothing_of_ours_and_everything_else(place, source, tmp_path):
    (place / "ls").write_text("theirs")
    (place / "etcd").write_text("theirs")
    before = tree(tmp_path / "usr")
    install(place, source)
    said = []
    work.uninstall(work.plan(str(place)), say=said.append)
    assert tree(tmp_path / "usr") == before
    assert not (tmp_path / "usr/lib/coreos").exists()
    assert len(said) == len(TABLE)  # all links but etcd, and the archive
    work.uninstall(work.plan(str(place)), say=said.append)
    assert len(said) == len(TABLE)


def _foreign_things(place, elsewhere):
    (place / "etcd").write_text("theirs")
    (place / "etcdctl").symlink_to("/usr/bin/true")
    (place / "fleetd").symlink_to(elsewhere)
    (place / "fleetctl").symlink_to("/nonexistent")
    (place / "coreos").mkdir()


FOREIGN = ("etcd", "etcdctl", "fleetd", "fleetctl", "coreos")


def test_foreign_files_are_left_alone(place, source, tmp_path):
    elsewhere = _archive(tmp_path / "coreos-9-x.pyz", b"three")
    _foreign_things(place, elsewhere)
    before = {name: path for name, path in tree(place).items() if name in FOREIGN}
    _, refused = install(place, source)
    assert sorted(path.rsplit("/", 1)[1] for path, _ in refused) == sorted(FOREIGN)
    after = tree(place)
    assert {name: after[name] for name in before} == before
    assert (place / "etcd2").is_symlink()
    work.uninstall(work.plan(str(place)), say=lambda _: None)
    assert tree(place) == before


def test_force_replaces_files_but_no_directory(place, source, tmp_path):
    _foreign_things(place, tmp_path)
    _, refused = install(place, source, force=True)
    assert [path.rsplit("/", 1)[1] for path, _ in refused] == ["coreos", "fleetd"]
    assert (place / "etcd").read_bytes() == source.read_bytes()


def test_copies(place, source, tmp_path):
    said, _ = install(place, source, copy=True)
    assert len(said) == len(TABLE)
    assert not (tmp_path / "usr/lib").exists()
    assert not (place / "etcdctl").is_symlink()
    assert os.access(place / "etcdctl", os.X_OK)
    assert install(place, source, copy=True) == ([], [])
    newer = _archive(tmp_path / "newer.pyz", b"two")
    assert len(install(place, newer, copy=True)[0]) == len(TABLE)
    work.uninstall(work.plan(str(place)), say=lambda _: None)
    assert os.listdir(place) == []


def test_links_replace_our_copies(place, source):
    install(place, source, copy=True)
    _, refused = install(place, source)
    assert refused == []
    assert (place / "etcdctl").is_symlink()


def test_dry_run_says_and_does_nothing(place, source, tmp_path):
    before = tree(tmp_path / "usr")
    said, _ = install(place, source, dry_run=True)
    assert len(said) == 1 + len(TABLE)
    assert tree(tmp_path / "usr") == before
    install(place, source)
    before = tree(tmp_path / "usr")
    said = []
    work.uninstall(work.plan(str(place), dry_run=True), say=said.append)
    assert len(said) == 1 + len(TABLE)
    assert tree(tmp_path / "usr") == before


def test_only_some(place, source, tmp_path):
    said, _ = install(place, source, only=("etcd", "etcdctl"))
    assert len(said) == 3
    assert sorted(os.listdir(place)) == ["etcd", "etcdctl"]
    work.uninstall(work.plan(str(place), only=("etcd",)), say=lambda _: None)
    assert os.listdir(place) == ["etcdctl"]
    assert os.listdir(tmp_path / "usr/lib/coreos")


def test_own_store(place, source, tmp_path):
    install(place, source, store=str(tmp_path / "opt"))
    assert len(os.listdir(tmp_path / "opt")) == 1
    assert (place / "etcd").read_bytes() == source.read_bytes()


def test_a_directory_reached_through_a_link(place, source, tmp_path):
    (tmp_path / "bin").symlink_to("usr/bin")
    install(tmp_path / "bin", source)
    assert (tmp_path / "usr/lib/coreos").is_dir()
    assert (tmp_path / "bin" / "etcd").read_bytes() == source.read_bytes()


def test_bad_arguments(place, source):
    with pytest.raises(CoreosError, match="no such command: nosuch, x"):
        work.plan(str(place), only=("etcd", "nosuch", "x"))
    with pytest.raises(CoreosError, match="no such directory"):
        install(place / "missing", source)
