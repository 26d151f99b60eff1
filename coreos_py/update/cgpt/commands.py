"""What cgpt's commands do."""

from __future__ import annotations

import fcntl
import os
import struct
import sys

from coreos_py.base.errors import CoreosError
from coreos_py.update import gpt as table
from coreos_py.update.cgpt import showing
from coreos_py.update.disk import Disk, DiskError, disks, partition_device, whole_disk
from coreos_py.update.gpt import SECTOR, UNUSED, Entry, Gpt, GptError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.cli.program import Call
    from coreos_py.cli.settings import Values

_BLKPG = 0x1269
_BLKPG_RESIZE_PARTITION = 3
_BOOT_GUID = slice(0x1A8, 0x1B8)
_BOOT_MAGIC = slice(0x1BC, 0x1BE)
_BOOT_CODE_SIZE = 0x1A8


class CgptError(CoreosError):
    """The end of a command, said in cgpt's way."""

    def __init__(self, call: Call, problem: object) -> None:
        super().__init__(f"ERROR: cgpt {call.path[-1].name}: {problem}")


def _command(function: Callable[[Call], int]) -> Callable[[Call], int]:
    """A command whose problems become cgpt's one line and exit code 1."""

    def run(call: Call) -> int:
        try:
            return function(call)
        except CgptError as err:
            print(err, file=sys.stderr)
        except (DiskError, GptError) as err:
            print(CgptError(call, err), file=sys.stderr)
        return 1

    return run


def _drive(call: Call) -> str:
    if not call.args:
        raise CgptError(call, "missing drive argument")
    if not call.args[0]:
        raise CgptError(call, "empty drive argument")
    return call.args[0]


def _disk_and_number(call: Call) -> tuple[str, int]:
    """The disk, and the number that -i gives or the device implies; 0 for none."""
    drive = _drive(call)
    disk, implied = whole_disk(drive)
    given = call.flags["i"] or 0 if "i" in call.flags else 0
    if implied and given not in (0, implied):
        raise CgptError(call, f"device {drive} is partition {implied} but {given} was specified")
    return disk, implied or given


def _checked(disk: Disk) -> Gpt:
    gpt = disk.gpt()
    gpt.check()
    return gpt


def _index(call: Call, number: int) -> int:
    if not 1 <= number <= table.ENTRIES:
        raise CgptError(call, f"invalid partition number: {number}")
    return number - 1


def _new_guid() -> bytes:
    raw = bytearray(os.urandom(16))
    raw[7] = raw[7] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


@_command
def show(call: Call) -> int:
    """cgpt show."""

    path, number = _disk_and_number(call)
    with Disk(path) as disk:
        gpt = _checked(disk)
    flags = call.flags
    if not number:
        if flags["q"]:
            showing.quickly(gpt, numeric=flags["n"])
        else:
            showing.everything(gpt, numeric=flags["n"], verbose=flags["v"], damaged=flags["d"])
    else:
        entry = gpt.entries[_index(call, number)]
        item = next((name for name in showing.ITEMS if flags[name]), "")
        if item:
            print(showing.ITEMS[item](entry))
        else:
            showing.title()
            showing.entry(entry, number, numeric=flags["n"])
    if not gpt.is_whole:
        sys.stdout.flush()
        problem = "one of the GPT header/entries is invalid, please run 'cgpt repair'"
        print(f"\nWARNING: {problem}", file=sys.stderr)
    return 0


@_command
def add(call: Call) -> int:
    """cgpt add."""

    path, number = _disk_and_number(call)
    with Disk(path, write=True) as disk:
        gpt = _checked(disk)
        if not gpt.is_whole:
            raise CgptError(
                call,
                "one of the GPT header/entries is invalid.\n"
                "please run 'cgpt repair' before adding anything.",
            )
        index = _index(call, number) if number else _first_unused(call, gpt)
        gpt.entries[index] = _changed(call, gpt.entries[index])
        if problem := gpt.problem():
            raise CgptError(call, problem)
        disk.save(gpt)
    return 0


def _first_unused(call: Call, gpt: Gpt) -> int:
    for index, entry in enumerate(gpt.entries):
        if not entry.is_used:
            return index
    raise CgptError(call, "no unused partitions available")


def _changed(call: Call, entry: Entry) -> Entry:
    flags = call.flags
    is_new = not entry.is_used
    if is_new and not (flags.given("t") and flags.given("b") and flags.given("s")):
        raise CgptError(call, "-t, -b, and -s options are required for new partitions")
    if is_new and flags["t"] == UNUSED:
        raise CgptError(call, 'New partitions must have a type other than "unused"')
    if flags.given("A"):
        entry = entry._replace(attributes=flags["A"])
    else:
        entry = entry.marked(
            priority=_given(flags, "P"),
            tries=_given(flags, "T"),
            successful=_given(flags, "S"),
            legacy_bootable=_given(flags, "B"),
        )
    if flags.given("b"):
        entry = entry._replace(first=flags["b"])
    if flags.given("s"):
        entry = entry._replace(last=(entry.first + flags["s"] - 1) % (1 << 64))
    if flags.given("u"):
        entry = entry._replace(unique=flags["u"])
    elif is_new:
        entry = entry._replace(unique=_new_guid())
    if flags.given("t"):
        entry = entry._replace(type=flags["t"])
    if flags.given("l"):
        try:
            entry = entry.named(flags["l"])
        except ValueError:
            raise CgptError(call, "The label cannot be converted to UTF16.") from None
    return entry


def _given(flags: Values, name: str) -> int | None:
    return int(flags[name]) if flags.given(name) else None


@_command
def create(call: Call) -> int:
    """cgpt create."""

    drive = _drive(call)
    size = call.flags["s"] or 0
    if call.flags["c"]:
        if not size:
            raise CgptError(call, "minimum size (-s) is required with create (-c)")
        _make_file(drive)
    with Disk(drive, write=True) as disk:
        if size and os.path.isfile(drive):
            disk.extend(size * SECTOR)
        if disk.size < size * disk.sector_size:
            raise CgptError(call, f"Drive {drive} is smaller than minimum: {size}")
        Gpt.load(disk.read, sectors=disk.size // SECTOR, sector_size=disk.sector_size)
        if call.flags["z"]:
            zeros = bytes((1 + table.ENTRIES_SECTORS) * SECTOR)
            end = disk.size - len(zeros)
            disk.write_groups([[(end, zeros), (SECTOR, zeros), (0, bytes(SECTOR))]])
            return 0
        guid = call.flags["g"] if call.flags.given("g") else _new_guid()
        disk.save(Gpt.create(sectors=disk.size // SECTOR, disk_guid=guid))
    return 0


def _make_file(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666))
    except OSError as err:
        raise DiskError(f"Can't open {path}: {err.strerror}") from None


@_command
def repair(call: Call) -> int:
    """cgpt repair."""

    path, _ = whole_disk(_drive(call))
    with Disk(path, write=True) as disk:
        for line in mend(disk, verbose=call.flags["v"]):
            print(f"{line}.")
        if call.flags.given("g"):
            gpt = _checked(disk)
            gpt.name_disk(call.flags["g"])
            disk.save(gpt)
    return 0


def mend(disk: Disk, *, verbose: bool = False) -> list[str]:
    """Make both copies of a disk's table whole and alike; what was done."""
    gpt = disk.gpt()
    try:
        gpt.check()
    except GptError as err:
        raise err.during("GptRepair") from None
    if verbose:
        print("GptSanityCheck() returned 0: GPT_SUCCESS")
    said = gpt.repair()
    if said or not gpt.is_whole:
        disk.save(gpt)
    return said


@_command
def prioritize(call: Call) -> int:
    """cgpt prioritize."""

    if call.flags["f"] and not call.flags["i"]:
        raise CgptError(call, "the -f option is only useful with the -i option")
    path, number = _disk_and_number(call)
    with Disk(path, write=True) as disk:
        gpt = _checked(disk)
        index = None
        if number:
            if number > table.ENTRIES:
                raise CgptError(
                    call,
                    f"invalid partition number: {number} (must be between 1 and {table.ENTRIES})",
                )
            index = number - 1
            if not gpt.entries[index].is_usr:
                raise CgptError(call, f"partition {number} is not a CoreOS root")
        gpt.entries = table.prioritize(
            gpt.entries, index=index, friends=call.flags["f"], top=call.flags["P"] or 0
        )
        disk.save(gpt)
    return 0


def _candidates(call: Call) -> list[str]:
    return call.args or disks()


@_command
def next_(call: Call) -> int:
    """cgpt next: the best slot of all the disks."""

    best: tuple[str, int] | None = None
    best_priority = -1
    for path in _candidates(call)[: 1 if call.args else None]:
        try:
            with Disk(path) as disk:
                gpt = _checked(disk)
        except (DiskError, GptError) as err:
            if call.args:
                raise
            print(CgptError(call, err), file=sys.stderr)
            continue
        strict = call.flags["g"]
        index = (table.choose if strict else table.choose_anyway)(gpt.entries)
        if index is None:
            continue
        entry = gpt.entries[index]
        may = entry.tries or entry.successful
        if best is None or (may and entry.priority > best_priority):
            best, best_priority = (path, index), entry.priority if may else -1
    if best is None:
        if call.flags["g"]:
            raise CgptError(call, "no slot has a priority and may be tried or was good")
        return 1
    path, index = best
    with Disk(path, write=True) as disk:
        gpt = _checked(disk)
        entry = gpt.entries[index]
        gpt.entries[index] = entry.marked(tries=max(entry.tries - 1, 0))
        print(table.guid_text(entry.unique).lower(), flush=True)
        disk.save(gpt)
    return 0


@_command
def find(call: Call) -> int:
    """cgpt find."""

    flags = call.flags
    if not (flags.given("t") or flags.given("u") or flags.given("l")):
        print(CgptError(call, "You must specify at least one of -t, -u, or -l"), file=sys.stderr)
        print(call.program.help_text(call))
        return 1
    content = _content(call, flags["M"]) if flags["M"] else b""
    hits = 0
    for path in _candidates(call):
        try:
            with Disk(path) as disk:
                gpt = _checked(disk)
                for number, entry in enumerate(gpt.entries, 1):
                    if _matches(entry, flags) and _holds(disk, entry, content, flags["O"]):
                        hits += 1
                        print(number if flags["n"] else partition_name(path, number))
                        if flags["v"]:
                            showing.entry(entry, number, numeric=flags["n"])
        except GptError:
            continue  # a disk without a table has none of them
        except DiskError as err:
            print(CgptError(call, err), file=sys.stderr)
    return int(hits != 1 if flags["1"] else not hits)


def partition_name(path: str, number: int) -> str:
    """What find prints: a device's partition, or an image's name and the number."""
    return partition_device(path, number) if path.startswith("/dev/") else f"{path}{number}"


def _content(call: Call, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        data = b""
    if not data:
        raise CgptError(call, f"Unable to read from {path}")
    return data


def _matches(entry: Entry, flags: Values) -> bool:
    if not entry.is_used:
        return False
    return (
        (flags.given("u") and entry.unique == flags["u"])
        or (flags.given("t") and entry.type == flags["t"])
        or (flags.given("l") and entry.label == flags["l"])
    )


def _holds(disk: Disk, entry: Entry, content: bytes, offset: int) -> bool:
    if offset + len(content) > entry.sectors * SECTOR:
        return False
    return disk.read(entry.first * SECTOR + offset, len(content)) == content


@_command
def boot(call: Call) -> int:
    """cgpt boot: sector 0 in SYSLINUX's form."""

    flags = call.flags
    changes = bool(flags["p"] or flags["i"] or flags["b"])
    with Disk(_drive(call), write=changes) as disk:
        gpt = disk.gpt()
        sector = bytearray(gpt.mbr)
        if flags["p"]:
            # cgpt makes no hybrid one here, whatever is bootable.
            sector = bytearray(table.protective_mbr(bytes(SECTOR), [], sectors=gpt.sectors))
            sector[_BOOT_MAGIC] = b"\x1d\x9a"
        if flags["i"]:
            gpt.check()
            sector[_BOOT_GUID] = gpt.entries[_index(call, flags["i"])].unique
        if flags["b"]:
            code = _content(call, flags["b"])[:_BOOT_CODE_SIZE]
            sector[: len(code)] = code
        if changes:
            disk.write_groups([[(0, bytes(sector))]])
    print(table.guid_text(bytes(sector[_BOOT_GUID])))
    return 0


@_command
def legacy(call: Call) -> int:
    """cgpt legacy: the signature, and so who sees the table."""

    with Disk(_drive(call), write=True) as disk:
        gpt = _checked(disk)
        disk.write_groups(gpt.hidden(hide=not call.flags["e"]))
    return 0


@_command
def resize(call: Call) -> int:
    """cgpt resize: a partition of a real disk, and the kernel's idea of it."""

    path, number = whole_disk(_drive(call))
    if not number:
        raise CgptError(call, f"device not found {call.args[0]}")
    with Disk(path, write=True) as disk:
        gpt = _checked(disk)
        gpt.repair()
        index = number - 1
        entry = gpt.entries[index]
        end = gpt.last_free(index)
        if (end - entry.last) * SECTOR < max(call.flags["m"], 1):
            return 0
        gpt.entries[index] = entry._replace(last=end)
        if problem := gpt.problem():
            raise CgptError(call, problem)
        _tell_kernel(call, path, number, gpt.entries[index])
        disk.save(gpt)
    return 0


def _tell_kernel(call: Call, path: str, number: int, entry: Entry) -> None:
    """BLKPG with BLKPG_RESIZE_PARTITION, before anything is written."""
    import ctypes

    data = struct.pack("@qqi64s64s", entry.first * SECTOR, entry.sectors * SECTOR, number, b"", b"")
    buffer = ctypes.create_string_buffer(data, len(data))
    argument = struct.pack("@iiiP", _BLKPG_RESIZE_PARTITION, 0, len(data), ctypes.addressof(buffer))
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _BLKPG, argument)
    except OSError as err:
        raise CgptError(
            call,
            f"Failed to notify kernel of new partition size: {err.strerror}\n"
            "Leaving existing partition table in place.",
        ) from None
    finally:
        os.close(fd)
