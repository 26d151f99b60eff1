"""Which wheels fit, and what is unpacked where."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from coreos_py.base import accelerators

PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"


FITS = [
    # file name, glibc, fits
    ("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", (2, 36), True),
    ("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", (2, 17), True),
    ("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", (2, 16), False),
    ("a-1-cp311-cp311-manylinux1_x86_64.manylinux_2_28_x86_64.whl", (2, 5), True),
    ("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", (2, 27), False),
    ("a-1-cp311-cp311-manylinux_2_17_aarch64.whl", (2, 36), False),
    ("a-1-cp312-cp312-manylinux_2_17_x86_64.whl", (2, 36), False),
    ("a-1-cp310.cp311-none-any.whl", (0, 0), True),
    ("a-1-cp311-cp311-musllinux_1_1_x86_64.whl", (2, 36), False),
    ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", (0, 0), False),
    ("nonsense.whl", (2, 36), False),
]


@pytest.mark.parametrize(("name", "glibc", "fits"), FITS)
def test_suitable(name, glibc, fits):
    chosen = accelerators.suitable([name], python="cp311", machine="x86_64", glibc=glibc)
    assert chosen == ([name] if fits else [])


def _wheel(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return out.getvalue()


@pytest.fixture
def archive(tmp_path):
    """An archive with one wheel that fits here; `digest` overrides the recorded one."""

    def make(digest=None):
        name = f"quick-1-{PYTHON}-{PYTHON}-any.whl"
        data = _wheel({"quick_thing/__init__.py": "SPEED = 11\n"})
        path = tmp_path / "archive.zip"
        with zipfile.ZipFile(path, "w") as target:
            target.writestr(f"wheels/{name}", data)
            recorded = digest or hashlib.sha256(data).hexdigest()
            target.writestr("wheels/index.json", json.dumps({name: recorded}))
        return zipfile.ZipFile(path)

    return make


@pytest.fixture
def sys_path(monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path[:])
    return sys.path


def test_unpacks_once(archive, tmp_path, sys_path):
    cache = tmp_path / "cache"
    with archive() as source:
        where = Path(accelerators._activate(source, str(cache)))
        assert sys_path[-1] == str(where)
        written = where / "quick_thing" / "__init__.py"
        os.utime(written, (1, 1))
        assert accelerators._activate(source, str(cache)) == str(where)
    assert written.stat().st_mtime == 1
    assert os.listdir(cache) == [where.name]
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_wheel_that_differs_is_not_unpacked(archive, tmp_path):
    cache = tmp_path / "cache"
    with archive(digest="0" * 64) as source, pytest.raises(ValueError, match="digest differs"):
        accelerators._activate(source, str(cache))
    assert os.listdir(cache) == []


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_nothing_is_loaded_from_where_others_write(archive, tmp_path, sys_path, mode):
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(mode)
    before = sys_path[:]
    with archive() as source:
        assert accelerators._activate(source, str(cache)) == ""
    assert sys_path == before


def test_no_cache_directory(archive):
    with archive() as source:
        assert accelerators._activate(source, "") == ""


def test_two_at_once(archive, tmp_path, monkeypatch, sys_path):
    """The other daemon's directory appears while we unpack: it is taken, ours is removed."""
    cache = tmp_path / "cache"
    rename = os.rename

    def late(source, target):
        Path(target).mkdir(0o700)
        (Path(target) / "theirs").write_text("")
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    with archive() as source:
        where = Path(accelerators._activate(source, str(cache)))
    assert os.listdir(where) == ["theirs"]
    assert os.listdir(cache) == [where.name]


def test_a_checkout_has_none():
    assert accelerators.activate() == ""


def test_default_cache_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/a:/var/cache/b")
    assert accelerators.default_cache_dir() == "/var/cache/a"
    monkeypatch.delenv("CACHE_DIRECTORY")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert accelerators.default_cache_dir() == str(tmp_path / "coreos-py")


def test_glibc_of_this_machine():
    assert accelerators._glibc() >= (0, 0)
