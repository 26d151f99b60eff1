"""Looks at disks and carries out the disks stage.

An edge: sgdisk, blkid, mdadm, mkfs and wipefs are called here. Everything is checked for all
devices first: that they are there and not in use, and that every tool can be found.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.ignition import diskplan, tools
from coreos_py.ignition.diskplan import Command, DiskError, Found, Partition, Resolved

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.ignition.decode import Obj

DEVICE_TIMEOUT_S = 90.0
_POLL_S = 0.2
_AMBIVALENT = 8  # what blkid exits with then
_INFO = {
    "type": re.compile(r"^Partition GUID code: (\S+)", re.MULTILINE),
    "guid": re.compile(r"^Partition unique GUID: (\S+)", re.MULTILINE),
    "start": re.compile(r"^First sector: (\d+)", re.MULTILINE),
    "size": re.compile(r"^Partition size: (\d+) sectors", re.MULTILINE),
    "label": re.compile(r"^Partition name: '(.*)'$", re.MULTILINE),
}
_ROW = re.compile(r"^\s+(\d+)\s+\d+\s+\d+\s", re.MULTILINE)


class Disks:
    """The disks stage of one config; `dry_run`: what would be done is said, nothing is done."""

    def __init__(
        self,
        config: Obj,
        *,
        dry_run: bool,
        say: Callable[[str], None],
        timeout_s: float = DEVICE_TIMEOUT_S,
    ) -> None:
        self._storage = config["storage"]
        self._dry_run = dry_run
        self._say = say
        self._timeout_s = timeout_s
        self._made: set[str] = set()

    def run(self) -> None:
        """Partition, put together, format; CoreosError."""
        self._check()
        for disk in self._storage["disks"]:
            self._partition(disk)
        for raid in self._storage["raid"]:
            for device in raid["devices"]:
                self._wait(device)
            self._do(diskplan.array(raid))
        for filesystem in self._storage["filesystems"]:
            want = diskplan.wanted_filesystem(filesystem)
            if want is None:
                continue
            self._wait(want.device)
            for command in diskplan.filesystem(want, self._look(want.device, want.format)):
                self._do(command)

    def _check(self) -> None:
        needed = {"sgdisk"} if self._storage["disks"] else set()
        if self._storage["raid"]:
            needed.add("mdadm")
        for filesystem in self._storage["filesystems"]:
            want = diskplan.wanted_filesystem(filesystem)
            if want is not None:
                needed |= {"blkid", "wipefs"}
                commands = diskplan.filesystem(want._replace(wipe=True), Found())
                needed |= {command.tool for command in commands}
        for tool in sorted(needed):
            tools.find(tool)
        for disk in self._storage["disks"]:
            self._wait(disk["device"])
            _refuse_mounted(disk["device"])

    # -- partitions ------

    def _partition(self, disk: Obj) -> None:
        device = disk["device"]
        parts = [diskplan.wanted(part) for part in disk["partitions"]]
        if disk["wipeTable"]:
            self._zap(device)
        present = [] if disk["wipeTable"] and self._dry_run else self._present(device)
        commands = diskplan.partitions(device, parts, present, self._resolve(device, parts))
        for command in commands:
            self._do(command)
        if commands and not self._dry_run:
            self._announce(device)

    def _zap(self, device: str) -> None:
        command = diskplan.zap(device)
        try:
            self._do(command)
        except CoreosError:  # a damaged table is repaired by the first try
            self._do(command)

    def _present(self, device: str) -> list[Partition]:
        if self._dry_run and not os.path.exists(device):
            return []
        printed = tools.check(["sgdisk", "-p", device])
        return [self._info(device, int(number)) for number in _ROW.findall(printed)]

    def _info(self, device: str, number: int) -> Partition:
        return _read_info(tools.check(["sgdisk", "-i", str(number), device]), number)

    def _resolve(self, device: str, parts: list[diskplan.Wanted]) -> dict[int, Resolved]:
        open_ends = [p for p in parts if p.number and p.should_exist and 0 in (p.start, p.size)]
        if not open_ends or (self._dry_run and not os.path.exists(device)):
            return {}
        taken = {there.number for there in self._present(device)}
        deleted = [f"--delete={part.number}" for part in open_ends if part.number in taken]
        asked = diskplan.question(device, open_ends)
        assert asked is not None
        words = [*asked.argv[:2], *deleted, *asked.argv[2:]]
        texts = re.split(r"(?m)^(?=Partition GUID code: )", tools.check(words))[1:]
        resolved = {}
        for part, text in zip(open_ends, texts, strict=False):
            found = _read_info(text, part.number)
            resolved[part.number] = Resolved(found.start, found.size)
        return resolved

    def _announce(self, device: str) -> None:
        """Tell the kernel, where there is one to tell."""
        if not stat.S_ISBLK(os.stat(device).st_mode):
            return
        for argv in (["partprobe", device], ["partx", "-u", device]):
            with contextlib.suppress(CoreosError):
                tools.attempt(argv)
                return

    # -- file systems ------

    def _look(self, device: str, wanted: str) -> Found:
        if self._dry_run and device not in self._made and not os.path.exists(device):
            return Found()
        done = tools.attempt(["blkid", "-p", "-o", "export", device])
        if done.returncode == _AMBIVALENT:
            return self._of_many(device, wanted)
        if done.returncode not in (0, 2):
            raise DiskError(f"{device}: blkid cannot tell what is there: {tools.complaint(done)}")
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        kind = values.get("TYPE", "") or values.get("PTTYPE", "")
        return Found(kind, values.get("LABEL", ""), values.get("UUID", ""))

    def _of_many(self, device: str, wanted: str) -> Found:
        """Of the traces of several things the one that is wanted, if it is among them."""
        printed = json.loads(tools.check(["wipefs", "-J", device]))
        found = [
            Found(row["type"] or "", row["label"] or "", row["uuid"] or "")
            for row in printed["signatures"]
        ]
        shown = ", ".join(sorted({one.kind for one in found}))
        self._say(f"{device}: there are traces of {shown}")
        return next((one for one in found if one.kind == wanted), found[0])

    # -- both ------

    def _wait(self, device: str) -> None:
        """Until the device is there; what an earlier step makes need not be in a dry run."""
        if self._dry_run:
            return
        deadline = time.monotonic() + self._timeout_s
        while not os.path.exists(device):
            if time.monotonic() > deadline:
                raise DiskError(f"{device}: no such device after {self._timeout_s:g} s")
            time.sleep(_POLL_S)

    def _do(self, command: Command) -> None:
        self._say(" ".join(command.argv))
        if self._dry_run:
            return
        tools.check(command.argv)


def _read_info(text: str, number: int) -> Partition:
    found = {name: pattern.search(text) for name, pattern in _INFO.items()}
    values = {name: match[1] if match else "" for name, match in found.items()}
    return Partition(
        number,
        int(values["start"] or 0),
        int(values["size"] or 0),
        values["type"],
        values["guid"],
        values["label"],
    )


def _refuse_mounted(device: str) -> None:
    """A disk that is in use is not partitioned."""
    real = os.path.realpath(device)
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            source, place = line.split()[:2]
            if source.startswith("/") and diskplan.is_on(os.path.realpath(source), real):
                raise DiskError(f"{device}: in use, {source} is mounted at {place}")
