"""Machines with two slots: booted by systemd-nspawn from the one that the partition table says.

What is real: a disk with the layout of a CoreOS machine behind a loop device, and on it the table,
the EFI system partition (mounted as /boot; ext2, as not every kernel can do vfat) and USR-A and
USR-B, one of which the machine has as its /usr, read-only. Inside, update_engine finds its slots
by asking where /usr is mounted from, and writes the other one's device node. What is played: power,
firmware, boot loader and initramfs, by a thread for each machine. It takes the slot that our
`cgpt next` prints, wants its kernel on the EFI system partition, mounts it and starts systemd from
it; when the machine reboots (nspawn ends with 133) or its init cannot be run it begins again. What
is not there: a kernel of its own, and a root partition; the rest of the machine is an overlay over
Debian's root as in packaging/machines.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

from tests.support import slot_images
from tests.support.machines import PATIENCE_S, SCRIPTS, Bed, within
from tests.support.slot_images import Images

SHIMS = Path(__file__).resolve().parents[2] / "shims"
UUIDS = {
    "a": "7130c94a-213a-4e5a-8e26-6cce9662f132",
    "b": "e03dd35c-7c2d-4a47-b3fe-27f15780a57c",
}
NUMBERS = {"a": 3, "b": 4}
_MB = 2048  # sectors
# Number, size in MB, type, label, UUID; and the legacy BIOS bootable bit as a raw attribute.
_LAYOUT = (
    (1, 8, "efi", "EFI-SYSTEM", "", ("-A4",)),
    (2, 2, "bios", "BIOS-BOOT", "", ()),
    (3, slot_images.SIZE_MB + 4, "coreos-usr", "USR-A", UUIDS["a"], ("-P1", "-S1")),
    (4, slot_images.SIZE_MB + 4, "coreos-usr", "USR-B", UUIDS["b"], ()),
    (6, 4, "linux-data", "OEM", "", ()),
    (7, 2, "coreos-reserved", "OEM-CONFIG", "", ()),
    (9, 4, "coreos-resize", "ROOT", "", ()),
)
REBOOTED = 133
_BOOTS_MAX = 40


def why_not() -> str:
    """Why there can be no such machines here; empty when there can."""
    tools = ("losetup", "partx", "mke2fs", "mount")
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return "" if Path("/dev/loop-control").exists() else "needs loop devices"


def run(*words: object) -> str:
    """What a command prints; it must succeed."""
    texts = [str(word) for word in words]
    done = subprocess.run(texts, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


class Boot(NamedTuple):
    """One try of the boot loader: the slot, and how it ended; None while it runs."""

    slot: str
    code: int | None


class SlotBed(Bed):
    """Machines with disks of their own; all start with `version` in slot A."""

    def __init__(
        self,
        directory: Path,
        *,
        archive: Path,
        count: int,
        version: str,
        firmware_s: float = 0.0,
    ) -> None:
        self.firmware_s = firmware_s  # from reset to boot loader
        self._disks = Path(f"{directory}-disks")
        self._disks.mkdir(parents=True)
        self._made = Path(f"{directory}-made")
        self._made.mkdir()
        # Whoever holds a loop device keeps it; it is gone when the last one has left.
        farewell = (
            f'for disk in {self._disks}/*.img; do losetup -j "$disk" -n -O NAME;'
            " done | xargs -r losetup -d"
        )
        super().__init__(directory, farewell=farewell)
        self.machines: list[SlotMachine] = []
        self.resets: list[int] = []  # which machine was reset, one after the other
        try:
            debian = Path(self.script("build.sh", timeout_s=1500).strip())
            self.images = Images(self._made, archive=archive, debian=debian)
            (directory / "ssh").mkdir(parents=True)
            (directory / "ssh/id_ed25519.pub").touch()
            self.shell("make_bridge")
            image = self.images.image(version)
            for number in range(1, count + 1):
                disk = _make_disk(self._disks / f"{number}.img", image, version)
                home = directory / str(number)
                self.machines.append(SlotMachine(self, number, disk, home, debian))
        except BaseException:
            self.close()
            raise

    @property
    def gateway(self) -> str:
        """The host's address on the machines' bridge."""
        return f"{self.environment['COREOS_MACHINES_NET']}.1"

    def close(self) -> None:
        for machine in self.machines:
            machine.cut_power()
        super().close()

    def shell(self, text: str) -> str:
        """Run a line with the functions of packaging/machines/lib.sh."""
        done = subprocess.run(
            ["sh", "-euc", f". {SCRIPTS}/lib.sh; {text}", str(SCRIPTS / "up.sh")],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}: {done.stdout}{done.stderr}"
        return done.stdout


class SlotMachine:
    """A machine and its disk. `boots` tells what the boot loader has done since the beginning."""

    def __init__(self, bed: SlotBed, number: int, disk: str, home: Path, debian: Path) -> None:
        self._bed = bed
        self.number = number
        self.disk = disk
        self.root = home / "root"
        self.boots: list[Boot] = []
        self.problem = ""
        self.is_broken = False  # does not start again after the next reset
        self._is_powered = False
        self._loader: threading.Thread | None = None
        bed.shell(f"make_machine {number}")
        nodes = (disk, *(f"{disk}p{row[0]}" for row in _LAYOUT))
        options = [f"--bind={node}" for node in nodes]
        (home / "options").write_text("\n".join([*options, f"--bind-ro={debian}/usr:/os/usr"]))

    def write(self, name: str, text: str) -> None:
        """A file of the machine's own, from outside."""
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @property
    def address(self) -> str:
        """Its address on the bridge."""
        return self._bed.address(self.number)

    @property
    def id(self) -> str:
        """Its machine ID."""
        return (self.root / "etc/machine-id").read_text().strip()

    # -- power

    def power_on(self) -> None:
        """Switch on; the boot loader has taken over when this returns."""
        assert self._loader is None or not self._loader.is_alive()
        self._is_powered = True
        self._loader = threading.Thread(target=self._boot_for_ever, daemon=True)
        self._loader.start()

    def cut_power(self) -> None:
        """Nothing inside gets a word."""
        self._is_powered = False
        while self._loader is not None and self._loader.is_alive():
            self._bed.cut_power(self.number)
            self._loader.join(0.5)
        self._loader = None

    def _boot_for_ever(self) -> None:
        try:
            while self._is_powered and self._boot() != 0 and not self.is_broken:
                assert len(self.boots) < _BOOTS_MAX, f"{self.boots}\n{self.console}"
        except Exception as err:  # noqa: BLE001 - told by whoever waits for the machine
            self.problem = f"{type(err).__name__}: {err}"

    def _boot(self) -> int:
        """From the power-on self test to the next reset."""
        time.sleep(self._bed.firmware_s)
        uuid = run(SHIMS / "cgpt", "next", self.disk)
        slot = next(letter for letter, known in UUIDS.items() if known == uuid)
        self.boots.append(Boot(slot, None))
        code = self._run_from(slot)
        self.boots[-1] = Boot(slot, code)
        self._bed.resets.append(self.number)
        return code

    def _run_from(self, slot: str) -> int:
        """The end of nspawn, or 1 when there is nothing to run."""
        node = f"{self.disk}p{NUMBERS[slot]}"
        within(PATIENCE_S, lambda: _is_free(node))
        # In mounts of its own: a namespace that has a copy of them would keep the old content.
        text = (
            f"cd {self.root} && mount {self.disk}p1 boot && mount -o ro {node} usr || exit\n"
            f"[ -e boot/coreos/vmlinuz-{slot} ] || exit\n"
            f". {SCRIPTS}/lib.sh; switch_on {self.number}; wait $!"
        )
        words = ["unshare", "-m", "sh", "-uc", text, str(SCRIPTS / "up.sh")]
        return subprocess.run(words, env=self._bed.environment, check=False).returncode

    # -- a look at it

    @property
    def console(self) -> str:
        """The end of what it, or nspawn, has said since it was reset."""
        path = self.root.with_name("console.log")
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    @property
    def bits(self) -> dict[str, tuple[int, ...]]:
        """Priority, tries and successful of both slots, as our cgpt shows them."""
        flags = ("-P", "-T", "-S")
        return {
            slot: tuple(
                int(run(SHIMS / "cgpt", "show", f"-i{number}", flag, self.disk)) for flag in flags
            )
            for slot, number in NUMBERS.items()
        }

    @property
    def is_on(self) -> bool:
        """Its systemd runs."""
        return self._bed.is_on(self.number)

    def run(self, *command: str) -> str:
        """What a command prints inside; it must succeed."""
        return self._bed.run(self.number, *command)

    @property
    def runs_from(self) -> str:
        """The slot that it has been booted from; "" while it is down."""
        return self.boots[-1].slot if self.is_on else ""

    def wait_for(self, slots: str, *, boots: int) -> None:
        """It has begun its n-th boot, from one of those slots, and is up."""

        def is_there() -> bool:
            if self.problem:
                raise RuntimeError(self.problem)
            assert len(self.boots) >= boots, self.boots
            last = self.boots[-1]
            assert last.slot in slots, self.boots
            assert last.code is None, self.boots
            state = self.run("sh", "-c", "systemctl is-system-running || :").strip()
            assert state in ("running", "degraded"), state
            return True

        within(PATIENCE_S, is_there)


def _is_free(node: str) -> bool:
    """Nothing has it mounted."""
    try:
        os.close(os.open(node, os.O_RDWR | os.O_EXCL))
    except OSError:
        return False
    return True


def _make_disk(path: Path, image: bytes, version: str) -> str:
    """A disk with `image` in slot A, as it leaves the factory; its device."""
    cgpt = SHIMS / "cgpt"
    with path.open("wb") as file:
        file.truncate((4096 + (sum(row[1] for row in _LAYOUT) + 2) * _MB) * 512)
    run(cgpt, "create", path)
    start = 4096
    for number, size_mb, kind, label, uuid, more in _LAYOUT:
        where = (f"-i{number}", f"-b{start}", f"-s{size_mb * _MB}")
        what = (f"-t{kind}", f"-l{label}", *([f"-u{uuid}"] if uuid else []), *more)
        run(cgpt, "add", *where, *what, path)
        start += size_mb * _MB
    disk = run("losetup", "-P", "-f", "--show", path)
    with contextlib.suppress(AssertionError):  # where the kernel has found them already
        run("partx", "-a", disk)
    with Path(f"{disk}p3").open("r+b") as slot:
        slot.write(image)
    esp = Path(f"{path}.esp")
    (esp / "coreos").mkdir(parents=True)
    (esp / "coreos/vmlinuz-a").write_bytes(slot_images.kernel(version))
    run("mke2fs", "-q", "-t", "ext2", "-d", esp, f"{disk}p1")
    return disk
