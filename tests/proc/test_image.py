"""Disk images: what makes them the same bytes every time."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest

from tests.support.image import BUILD, TOP

pytestmark = pytest.mark.proc

EPOCH = 1_700_000_000
OLD = EPOCH - 1000
SCRIPT = '. "$HERE/lib.sh"; filesystem "$1" USR 7130c94a-0000-4000-8000-000000000000 "$2" 2 -b 4096'


def make_tree(path, names, *, at):
    """A version's files, created in that order, read and changed at that time."""
    (path / "folder").mkdir(parents=True)
    for name in names:
        (path / name).write_text(f"{name}\n")
    (path / "link").symlink_to("folder")
    for found in (*sorted(path.rglob("*")), path):
        os.utime(found, (at, at), follow_symlinks=False)
    os.utime(path / names[-1], (at, OLD))


def filesystem(image, tree):
    """A filesystem with these files, as packaging/image/build.sh makes it."""
    env = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "SOURCE_DATE_EPOCH": str(EPOCH)}
    env |= {"HERE": str(BUILD.parent), "TOP": str(TOP), "TZ": "UTC"}
    words = ["sh", "-euc", SCRIPT, "sh", str(image), str(tree)]
    subprocess.run(words, check=True, env=env, capture_output=True, timeout=60)
    return image.read_bytes()


def test_a_filesystem_does_not_tell_when_and_how_it_was_made(tmp_path):
    if not shutil.which("debugfs", path="/usr/sbin:/sbin:/usr/bin"):
        pytest.skip("not installed: e2fsprogs")
    first, second = tmp_path / "first", tmp_path / "second"
    make_tree(first, ["b", "folder/c", "a"], at=EPOCH + 5)
    begun = int(time.time())
    while int(time.time()) == begun:  # the change times, which nothing can set, are in seconds
        time.sleep(0.02)
    make_tree(second, ["folder/c", "b", "a"], at=EPOCH + 50)
    made = filesystem(tmp_path / "first.img", first)
    assert made == filesystem(tmp_path / "second.img", second)
    told = subprocess.run(
        ["debugfs", "-R", "stat /a", str(tmp_path / "first.img")],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    times = {
        line.split(":")[0].strip(): line.split(":")[1].strip()
        for line in told.splitlines()
        if "time: 0x" in line
    }
    assert times == {
        "ctime": hex(EPOCH),
        "atime": hex(EPOCH),
        "mtime": hex(OLD),
        "crtime": hex(EPOCH),
    }
