"""Disks, partitions and what is mounted from them, as the kernel shows them. An edge.

A disk may be a block device or an image file; a partition is read and written through its own node
where there is one, else through its place in the disk.
"""

from __future__ import annotations

import fcntl
import os
import stat

from coreos_py.base.errors import CoreosError
from coreos_py.update.gpt import SECTOR, Gpt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

_BLKSSZGET = 0x1268
_PIECE = 1 << 20
SYS_DEV = "/sys/dev/block"
_SLAVES_MAX = 8


class DiskError(CoreosError):
    """A disk cannot be opened, read or written."""


class Area:
    """A partition, or a part of a disk, that is read and written from 0."""

    def __init__(self, path: str, *, offset: int = 0, size: int | None = None, write: bool) -> None:
        self.path = path
        self._offset = offset
        self._fd = _open(path, write=write)
        whole = os.lseek(self._fd, 0, os.SEEK_END) - offset
        self.size = whole if size is None else min(size, whole)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes; OSError behind the end."""
        if offset < 0 or offset + size > self.size:
            raise OSError(5, "read behind the end", self.path)
        parts = []
        while size:
            part = os.pread(self._fd, min(size, _PIECE), self._offset + offset)
            if not part:
                raise OSError(5, "read behind the end", self.path)
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        """All of `data`; OSError behind the end."""
        if offset < 0 or offset + len(data) > self.size:
            raise OSError(28, "write behind the end", self.path)
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, self._offset + offset)
            view = view[done:]
            offset += done

    def sync(self) -> None:
        """What was written is on the disk."""
        os.fsync(self._fd)

    def forget_cached(self) -> None:
        """The next reads come from the disk, where the kernel can be told so."""
        os.posix_fadvise(self._fd, self._offset, self.size, os.POSIX_FADV_DONTNEED)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _open(path: str, *, write: bool) -> int:
    try:
        return os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as err:
        raise DiskError(f"Can't open {path}: {err.strerror}") from None


class Disk:
    """A whole disk."""

    def __init__(self, path: str, *, write: bool = False) -> None:
        self.path = path
        self._fd = _open(path, write=write)
        try:
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
            self.sector_size = SECTOR
            if stat.S_ISBLK(os.fstat(self._fd).st_mode):
                raw = fcntl.ioctl(self._fd, _BLKSSZGET, bytes(4))
                self.sector_size = int.from_bytes(raw, "little")
        except OSError as err:
            os.close(self._fd)
            raise DiskError(f"Can't read drive size from {path}: {err.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes; DiskError."""
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as err:
            raise DiskError(f"Can't read {self.path}: {err.strerror}") from None
        if len(data) < size:
            raise DiskError(f"Can't read enough: {len(data)}, not {size}")
        return data

    def gpt(self) -> Gpt:
        """Its partition table, not checked yet."""
        if self.size % self.sector_size:
            raise DiskError(
                f"Media size ({self.size}) is not a multiple of sector size({self.sector_size})"
            )
        sectors = self.size // self.sector_size
        return Gpt.load(self.read, sectors=sectors, sector_size=self.sector_size)

    def save(self, gpt: Gpt) -> None:
        """Write a table's changes; each group is on the disk before the next begins."""
        self.write_groups(gpt.changes())

    def write_groups(self, groups: list[list[tuple[int, bytes]]]) -> None:
        """Write, with a sync after each group; DiskError."""
        try:
            for group in groups:
                for offset, data in group:
                    view = memoryview(data)
                    while view:
                        done = os.pwrite(self._fd, view, offset)
                        view = view[done:]
                        offset += done
                os.fsync(self._fd)
        except OSError as err:
            raise DiskError(f"Can't write {self.path}: {err.strerror}") from None

    def extend(self, size: int) -> None:
        """Make an image file at least that large."""
        if self.size < size:
            try:
                os.ftruncate(self._fd, size)
            except OSError as err:
                raise DiskError(f"Can't extend {self.path}: {err.strerror}") from None
            self.size = size


def whole_disk(path: str) -> tuple[str, int]:
    """The disk that a device is part of and its number there; 0 for a disk itself or a file."""
    try:
        info = os.stat(path)
    except OSError as err:
        raise DiskError(f"unable to access device {path}: {err.strerror}") from None
    if not stat.S_ISBLK(info.st_mode):
        return path, 0
    where = _sys_path(info.st_rdev)
    number = _read_number(f"{where}/partition")
    if number is None:
        return path, 0
    return f"/dev/{os.path.basename(os.path.dirname(where))}", number


def partition_device(disk: str, number: int) -> str:
    """The node of a disk's partition: sda3, nvme0n1p3."""
    return f"{disk}{'p' if disk[-1:].isdigit() else ''}{number}"


def rootdev(path: str, *, first_slave: bool = False, strip: bool = False) -> str:
    """The device that a path is on; through device-mapper to the first slave; as its whole disk.

    DiskError when the kernel does not know it as a block device.
    """
    try:
        device = os.stat(path).st_dev
    except OSError as err:
        raise DiskError(f"Cannot stat({path}): {err.strerror}") from None
    name = _device_name(device)
    if name is None:
        raise DiskError(f"{path} is on no block device")
    if first_slave:
        name = _first_slave(name)
    if strip:
        name = os.path.basename(whole_disk(f"/dev/{name}")[0])
    return f"/dev/{name}"


def mounted_from(device: str) -> str:
    """Where a device is mounted, the first place; "" for nowhere."""
    try:
        wanted = os.stat(device).st_rdev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in lines:
        words = line.split(" ")
        if len(words) > 4 and words[2] == f"{os.major(wanted)}:{os.minor(wanted)}":
            return words[4].encode().decode("unicode_escape")
    return ""


def disks() -> list[str]:
    """Every disk of this machine."""
    try:
        names = sorted(os.listdir("/sys/block"))
    except OSError:
        return []
    found = [f"/dev/{name.replace('!', '/')}" for name in names if _is_real(name)]
    return [path for path in found if os.path.exists(path)]


def _is_real(name: str) -> bool:
    return os.path.lexists(f"/sys/block/{name}/device")


def _sys_path(device: int) -> str:
    return os.path.realpath(f"{SYS_DEV}/{os.major(device)}:{os.minor(device)}")


def _device_name(device: int) -> str | None:
    where = _sys_path(device)
    return os.path.basename(where).replace("!", "/") if os.path.isdir(where) else None


def _first_slave(name: str) -> str:
    for _ in range(_SLAVES_MAX):
        try:
            slaves = sorted(os.listdir(f"/sys/class/block/{name}/slaves"))
        except OSError:
            slaves = []
        if not slaves:
            break
        name = slaves[0]
    return name


def _read_number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
