"""What becomes of files, directories and links that are there already, in versions 2 and 3.

The expectations are what Ignition 0.35 and 2.14 left behind.
"""

from __future__ import annotations

import json
import os
import stat

import pytest

from coreos_py.base.errors import CoreosError
from coreos_py.ignition import dataurl, plan, resolve
from coreos_py.ignition.apply import Applier
from coreos_py.ignition.root import Root

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")

NEW = {"source": "data:,new"}


@pytest.fixture
def target(tmp_path):
    """/f and /g are files, /f2 is /f, /d is a directory with a file, /l leads to /f, /ld to /d."""
    for name, mode in (("f", 0o600), ("g", 0o640)):
        (tmp_path / name).write_text(name)
        os.chown(tmp_path / name, 5, 6)
        (tmp_path / name).chmod(mode)
    (tmp_path / "f2").hardlink_to(tmp_path / "f")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").touch()
    os.chown(tmp_path / "d", 7, 8)
    (tmp_path / "d").chmod(0o711)
    (tmp_path / "l").symlink_to("/f")
    (tmp_path / "ld").symlink_to("/d")
    return tmp_path


def apply(target, document):
    whole = resolve.resolve(json.dumps(document).encode(), lambda _config: lambda _source: b"")
    actions = plan.plan(whole.config, plan.Facts(), major=whole.major)

    def get(source):
        return dataurl.decode(source.url) if source.url else b""

    root, is_old = Root(str(target)), whole.major == 2
    Applier(root, get, say=lambda _line: None, may_repeat=is_old).apply(actions)


def look(path):
    """Mode, owner, group; of a file the number of its names and its content, of a link where to."""
    found = path.lstat()
    shown = f"{found.st_mode & 0o7777:o} {found.st_uid}:{found.st_gid}"
    if stat.S_ISLNK(found.st_mode):
        return f"-> {path.readlink()} {found.st_uid}:{found.st_gid}"
    return shown if path.is_dir() else f"{shown} {found.st_nlink} {path.read_text()}"


def old(kind, **entry):
    document = {kind: [{"filesystem": "root", "path": "/f", **entry}]}
    return {"ignition": {"version": "2.4.0"}, "storage": document}


def new(kind, **entry):
    return {"ignition": {"version": "3.3.0"}, "storage": {kind: [{"path": "/f", **entry}]}}


FOUND = [
    # A file that is written anew takes nothing from the old one, which has other names perhaps.
    (new("files", contents=NEW, overwrite=True), "f", "644 0:0 1 new"),
    (new("files", contents=NEW, overwrite=True), "f2", "600 5:6 1 f"),
    (new("files", contents={"source": ""}, overwrite=True), "f", "644 0:0 1 "),
    (old("files", contents=NEW), "f", "0 0:0 1 new"),
    (old("files", contents=NEW, mode=420, user={"id": 9}), "f", "644 9:0 1 new"),
    (old("files", path="/d", mode=420), "d", "644 0:0 1 "),
    # One that is appended to stays what it is.
    (new("files", append=[NEW, NEW]), "f2", "600 5:6 2 fnewnew"),
    (new("files", append=[NEW], mode=420, user={"id": 9}), "f", "644 9:6 2 fnew"),
    (new("files", path="/n", append=[NEW]), "n", "644 0:0 1 new"),
    (old("files", contents=NEW, append=True), "f2", "600 5:6 2 fnew"),
    (old("files", contents=NEW, append=True, path="/n"), "n", "0 0:0 1 new"),
    (old("files", contents=NEW, append=True, path="/n", mode=420), "n", "644 0:0 1 new"),
    # As does one of which nothing is said.
    (new("files"), "f", "600 5:6 2 f"),
    (new("files", mode=0o444, group={"id": 3}), "f2", "444 5:3 2 f"),
    (new("directories", path="/d"), "d", "711 7:8"),
    (new("directories", path="/d", mode=0o700), "d", "700 7:8"),
    (new("directories", path="/d", overwrite=True), "d", "755 0:0"),
    (new("directories", path="/p/q", mode=0o700, user={"id": 3}), "p", "755 0:0"),
    (old("directories", path="/d", mode=0o755), "d", "755 0:0"),
    (old("directories", path="/p/q", mode=0o1711, user={"id": 3}), "p", "711 3:0"),
    # A hard link is the file it leads to, seen from the root.
    (new("links", path="/d/h", target="/f", hard=True, user={"id": 9}), "d/h", "600 5:6 3 f"),
    (new("links", path="/d/h", target="f", hard=True), "d/h", "600 5:6 3 f"),
    (new("links", path="/h", target="/ld/x", hard=True), "h", "644 0:0 2 "),
    (new("links", path="/h", target="/l", hard=True), "h", "-> /f 0:0"),
    (old("links", path="/h", target="/l", hard=True), "h", "-> /f 0:0"),
    (new("links", path="/f2", target="/f", hard=True), "f2", "600 5:6 2 f"),
    (new("links", path="/n", target="x", user={"id": 4}), "n", "-> x 4:0"),
    (new("links", path="/l", target="/g", overwrite=True), "l", "-> /g 0:0"),
    (new("links", path="/d", target="/g", overwrite=True), "d", "-> /g 0:0"),
]


@pytest.mark.parametrize(("document", "path", "expected"), FOUND)
def test_what_is_there_afterwards(target, document, path, expected):
    apply(target, document)
    assert look(target / path) == expected


REFUSED = [
    new("files", contents=NEW),
    new("files", path="/l", contents=NEW),
    new("files", path="/d", append=[NEW]),
    new("directories"),
    new("directories", path="/ld"),
    new("links", path="/l", target="/g"),
    new("links", path="/g", target="/f", hard=True),
    new("links", path="/h", target="/none", hard=True),
    old("files", contents=NEW, overwrite=False),
    old("files", path="/d", contents=NEW, append=True),
    old("directories", mode=0o755),
    old("links", path="/l", target="/f"),
    old("links", path="/f2", target="/f", hard=True),
]


@pytest.mark.parametrize("document", REFUSED)
def test_what_is_in_the_way(target, document):
    names = ("f", "f2", "g", "d", "l", "ld")
    before = {name: look(target / name) for name in names}
    with pytest.raises(CoreosError):
        apply(target, document)
    assert {name: look(target / name) for name in names} == before


def test_one_place_by_two_names(target):
    """Links in the target make them one; version 2 lets the last one win anyway."""
    paths = ("/d/n", "/ld/n")
    files = [{"path": path, "contents": {"source": f"data:,{path[1:]}"}} for path in paths]
    document = {"ignition": {"version": "3.3.0"}, "storage": {"files": files}}
    with pytest.raises(CoreosError, match="/ld/n and /d/n are the same place"):
        apply(target, document)
    assert not (target / "d" / "n").exists()
    files = [{"filesystem": "root", "mode": 420, **file} for file in files]
    apply(target, {"ignition": {"version": "2.0.0"}, "storage": {"files": files}})
    assert (target / "d" / "n").read_text() == "ld/n"
