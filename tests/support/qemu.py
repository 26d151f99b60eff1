"""A machine in qemu, by software emulation: it boots, resets and loses power.

What it says on its console is evidence; a root shell on its second serial port answers questions.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import time
from pathlib import Path
from typing import Self

from tests.support.procs import Failure, Process, eventually
from tests.support.wdat import ich9_watchdog

BOOT_S = 400.0  # for what takes 15 s alone on two processors
_TOOLS = ("qemu-system-x86_64", "mcopy", "mkfs.vfat", "mke2fs")
_FIRMWARE = Path("/usr/share/OVMF")
# The kernel's tests of its ciphers and its care for real processors cost seconds of emulation.
_QUICK = "cryptomgr.notests mitigations=off"
# On a busy host a processor in emulation stands still while the kernel measures its timers. Then
# one start in five finds none and panics, or has a clock that runs fifty times too fast.
_BUSY = "no_timer_check tsc=unstable clocksource=hpet"
_PATIENT = "coreos.watchdog=300 systemd.watchdog_sec=300"
_SHELL = "systemd.show_status=0 systemd.debug_shell=ttyS1"
APPEND = f"console=ttyS0 panic=1 loglevel=5 {_QUICK} {_BUSY} {_PATIENT} {_SHELL}"
_GREET_S = 20.0  # for what takes no time
_PROMPT = re.compile(r"@core:[^\n]*# ")
_CHOSEN = re.compile(rb"] init: booting slot ([ab]), ")
_STARTED = re.compile(rb"] init: /usr is /dev/vda([0-9]+)")


def why_not(*, firmware: bool = False) -> str:
    """Why no machine can be booted here; empty when one can."""
    missing = [tool for tool in _TOOLS if not shutil.which(tool)]
    if firmware and not _FIRMWARE.is_dir():
        missing.append("ovmf")
    return f"not installed: {', '.join(missing)}" if missing else ""


class Qemu:
    """The machine with a disk; it resets as often as it wants to until `cut_power`.

    With `watchdog` one that has a timer of its own to reset it, told of by its ACPI tables.
    """

    def __init__(
        self,
        disk: Path,
        *,
        kernel: Path | None = None,
        selector: Path | None = None,
        append: str = "",
        watchdog: bool = False,
    ) -> None:
        self.disk = disk
        self._folder = disk.parent
        self._kernel = kernel
        self._selector = selector
        self._append = f"{APPEND} {append}".strip()
        self._watchdog = disk.with_suffix(".wdat") if watchdog else None
        self._process: Process | None = None
        self._shell: socket.socket | None = None
        self._console = self._folder / f"{disk.name}.console"
        self._count = 0
        self._greeted = 0  # the boot, from 1, whose shell is set up

    def __enter__(self) -> Self:
        self.power_on()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.cut_power()

    # -- power

    def power_on(self) -> None:
        """Start it; the console's text goes on."""
        assert self._process is None
        port = self._folder / f"{self.disk.name}.shell"
        port.unlink(missing_ok=True)
        log = self._folder / f"{self.disk.name}.qemu"
        self._process = Process("qemu", self._words(port), log_path=log)
        self._process.start()
        self._shell = eventually(lambda: _connected(port), logs=[self._process])

    def _words(self, port: Path) -> list[str]:
        # A para-virtual KVM hangs with stock kernels; there is no telling from outside. And one
        # processor: with two, a kernel that patches itself may hang in emulation.
        words = ["qemu-system-x86_64", "-accel", "tcg", "-m", "1024"]
        words += ["-display", "none", "-monitor", "none", "-nodefaults", "-vga", "none"]
        words += ["-drive", f"file={self.disk},if=virtio,format=raw", "-device", "virtio-rng-pci"]
        words += ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="]
        words += ["-chardev", f"file,id=con,path={self._console},append=on"]
        words += ["-chardev", f"socket,id=sh,path={port},server=on,wait=off"]
        words += ["-serial", "chardev:con", "-serial", "chardev:sh"]
        if self._watchdog is not None:
            self._watchdog.write_bytes(ich9_watchdog())
            words += ["-machine", "q35", "-global", "ICH9-LPC.noreboot=false"]
            words += ["-acpitable", f"sig=WDAT,rev=1,data={self._watchdog}"]
        if self._kernel is not None:
            words += ["-kernel", str(self._kernel), "-initrd", str(self._selector)]
            return [*words, "-append", self._append]
        variables = self._folder / f"{self.disk.name}.efivars"
        if not variables.exists():
            shutil.copy(_FIRMWARE / "OVMF_VARS_4M.fd", variables)
        flash = "if=pflash,format=raw,unit="
        words += ["-drive", f"{flash}0,readonly=on,file={_FIRMWARE / 'OVMF_CODE_4M.fd'}"]
        return [*words, "-drive", f"{flash}1,file={variables}"]

    def cut_power(self) -> None:
        """It is off at once; what it had not written is lost."""
        if self._process is not None:
            self._process.kill9()
            self._process = None
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    # -- evidence

    @property
    def console(self) -> str:
        """Everything that it has said since it was new."""
        return self._read().decode(errors="replace")

    def _read(self) -> bytes:
        return self._console.read_bytes() if self._console.exists() else b""

    @property
    def chosen(self) -> str:
        """The slots that the selector has booted: aba."""
        return b"".join(_CHOSEN.findall(self._read())).decode()

    @property
    def started(self) -> str:
        """The slots that /usr was mounted from: aba."""
        letters = {b"3": "a", b"4": "b"}
        return "".join(letters[number] for number in _STARTED.findall(self._read()))

    def wait_for(self, what: str, count: int = 1, *, within_s: float = BOOT_S) -> None:
        """Until the console has said it, so often."""
        self._eventually(lambda: self.console.count(what) >= count, within_s)

    def wait_started(self, slots: str) -> None:
        """Until /usr was mounted from these slots, one after the other, since it was new."""
        boots = max(1, len(slots) - len(self.started))
        self._eventually(lambda: len(self.started) >= len(slots), boots * BOOT_S)
        assert self.started == slots, self._tail()

    def wait_back(self, slot: str) -> None:
        """Until /usr was mounted from that slot, whatever was before."""
        self._eventually(lambda: self.started.endswith(slot), 3 * BOOT_S)

    def _eventually(self, condition, within_s: float) -> None:
        try:
            eventually(condition, within_s=within_s, every_s=0.2)
        except Failure as failure:
            raise Failure(f"{failure}\n--- console\n{self._tail()}") from None

    def _tail(self) -> str:
        return self.console[-4000:]

    # -- the shell

    def run(self, command: str, *, within_s: float = BOOT_S) -> str:
        """What a command prints, as root; it has to succeed. After wait_started, in that boot."""
        deadline = time.monotonic() + within_s
        if self._greeted != len(self.started):
            self._greet(deadline)
            self._greeted = len(self.started)
        mark = self._mark()
        self._type(f"echo 'BEGIN '{mark}; {{ {command}\n}} </dev/null 2>&1; echo 'DONE '{mark} $?.")
        done = re.compile(rf"BEGIN {mark}\n(.*)DONE {mark} ([0-9]+)\.\n", re.DOTALL)
        found = self._receive_until(done, deadline)
        output, status = found[1], found[2]
        assert status == "0", f"{command}: exit status {status}: {output}"
        return str(output)

    def _greet(self, deadline: float) -> None:
        """Have the shell say nothing but what commands print."""
        setup = "stty -echo -onlcr; PS1= PS2=; bind 'set enable-bracketed-paste off'"
        # The first prompt may be one of the boot before; what is typed then is lost, or a part.
        self._receive_until(_PROMPT, deadline)
        while True:
            mark = self._mark()
            # Split, so that no echo of it is taken for the answer.
            self._type(f"\x03{setup}; echo 'SHELL '{mark}")
            try:
                patience = min(deadline, time.monotonic() + _GREET_S)
                self._receive_until(re.compile(rf"SHELL {mark}\n"), patience)
                return
            except Failure:
                if time.monotonic() > deadline:
                    raise

    def _mark(self) -> str:
        self._count += 1
        return f"{self._count}-{time.monotonic_ns()}"

    def look(self) -> None:
        """Let it look for an update, as soon as it can."""
        self.run("until systemctl -q is-active update-engine; do sleep 1; done")
        self.run("update_engine_client -check_for_update 2>/dev/null")

    def wait_idle(self) -> None:
        """Until it has done with that, and needs no reboot."""
        status = "update_engine_client -status 2>/dev/null"
        self.run(f"until {status} | grep -q _IDLE; do sleep 0.5; done")

    def _type(self, line: str) -> None:
        assert self._shell is not None
        self._shell.sendall(f"{line}\n".encode())

    def _receive_until(self, pattern: re.Pattern[str], deadline: float) -> re.Match[str]:
        assert self._shell is not None
        received = b""
        while True:
            text = received.decode(errors="replace").replace("\r", "")
            if found := pattern.search(text):
                return found
            if time.monotonic() > deadline:
                raise Failure(f"no {pattern.pattern!r} in {text!r}\n--- console\n{self._tail()}")
            with contextlib.suppress(TimeoutError):
                piece = self._shell.recv(1 << 16)
                if not piece:
                    raise Failure(f"qemu is gone\n--- console\n{self._tail()}")
                received += piece


def _connected(port: Path) -> socket.socket:
    # The file is there before anybody listens.
    shell = socket.socket(socket.AF_UNIX)
    try:
        shell.connect(str(port))
    except OSError:
        shell.close()
        raise
    shell.settimeout(1.0)
    return shell
