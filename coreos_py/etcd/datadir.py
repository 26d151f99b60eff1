"""The data directory of etcd 2.3: what it was used for, older layouts, the places in it.

Mirrors identifyDataDirOrDie of etcdmain and version.DetectDataDir and upgradeDataDir of etcd 2.3.8,
except that moving an older layout can be interrupted and continued.
"""

from __future__ import annotations

import logging
import os
from enum import StrEnum
from typing import NamedTuple

from coreos_py.base.atomic import fsync_dir
from coreos_py.base.errors import CoreosError
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import wal
from coreos_py.etcd.snap import DB_NAME
from coreos_py.etcd.wal_files import failure, list_names, no_log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.etcd.wal_files import Log

DIR_MODE = 0o700
_MOVING = "member.moving"


class DirKind(StrEnum):
    """What a data directory was initialised as."""

    EMPTY = "empty"
    MEMBER = "member"
    PROXY = "proxy"


class MemberDirs(NamedTuple):
    """Where a member keeps its files."""

    member: str
    wal: str
    snap: str


def member_dirs(data_dir: str, *, wal_dir: str = "") -> MemberDirs:
    """The places of a member below its data directory; the log may live somewhere else."""
    member = os.path.join(data_dir, "member")
    return MemberDirs(member, wal_dir or os.path.join(member, "wal"), os.path.join(member, "snap"))


def identify(data_dir: str, *, log: Log = no_log) -> DirKind:
    """What a data directory is; unknown names in it are only logged."""
    try:
        names = sorted(os.listdir(data_dir))
    except FileNotFoundError:
        return DirKind.EMPTY
    except OSError as error:
        raise CoreosError(f"error listing data dir: {failure(data_dir, error)}") from error
    for name in names:
        if name not in (DirKind.MEMBER, DirKind.PROXY):
            log(
                logging.WARNING,
                f"found invalid file/dir {name} under data dir {data_dir}"
                " (Ignore this if you are upgrading etcd)",
            )
    if DirKind.MEMBER in names and DirKind.PROXY in names:
        raise CoreosError(
            f"invalid datadir {data_dir}: both member and proxy directories exist",
            hint="keep the one this machine is meant to be and move the other away",
        )
    if DirKind.MEMBER in names:
        return DirKind.MEMBER
    return DirKind.PROXY if DirKind.PROXY in names else DirKind.EMPTY


def prepare_member(data_dir: str, *, wal_dir: str = "", log: Log = no_log) -> MemberDirs:
    """Check that a member can use a data directory, and bring an older layout up to date.

    Nothing is created but the data directory itself: a bootstrap that fails later, or falls back to
    a proxy, must not leave a member directory behind.
    """
    make_writable(data_dir, "access data")
    dirs = member_dirs(data_dir, wal_dir=wal_dir)
    database = os.path.join(dirs.snap, DB_NAME)
    if os.path.lexists(database):
        raise CoreosError(
            f"{database}: experimental-v3demo cannot be disabled once it is enabled",
            hint="this data directory belongs to an etcd with the v3 store",
        )
    try:
        _move_layout(data_dir, dirs.member, log=log)
    except OSError as error:
        raise failure(data_dir, error) from error
    if wal.exists(dirs.wal):
        make_writable(dirs.member, "write to member")
        make_writable(dirs.wal, "write to WAL")
    return dirs


def create_member(dirs: MemberDirs) -> None:
    """Create what a member needs besides its log, which WAL.create() makes."""
    make_writable(dirs.member, "access member")
    make_writable(dirs.snap, "access snapshot")


def make_writable(directory: str, what: str) -> None:
    """Create a directory (0700) if need be and prove that files can be made in it; what: a verb."""
    probe = os.path.join(directory, ".touch")
    try:
        os.makedirs(directory, DIR_MODE, exist_ok=True)
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.unlink(probe)
    except OSError as error:
        reason = failure(directory, error)
        raise CoreosError(f"cannot {what} directory: {reason}") from error


def _move_layout(data_dir: str, member: str, *, log: Log) -> None:
    """Bring the layout before 2.0.1, wal and snap right in the data directory, to today's."""
    moving = os.path.join(data_dir, _MOVING)
    if os.path.lexists(member):
        return
    names = list_names(data_dir)
    old = "snap" in names and "wal" in names and list_names(os.path.join(data_dir, "wal"))
    if not old and _MOVING not in names:
        return
    os.makedirs(moving, DIR_MODE, exist_ok=True)
    for name in ("snap", "wal"):
        if name in names:
            os.rename(os.path.join(data_dir, name), os.path.join(moving, name))
    fsync_dir(moving)
    os.rename(moving, member)
    fsync_dir(data_dir)
    log(NOTICE, f"moved wal and snap of {data_dir} to {member}")
