"""Real machines for tests: the scripts of packaging/machines, driven from Python.

The machines go away with the test process, however it ends: a watchdog of its own session holds a
pipe from here and takes them down when the pipe closes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coreos_py.base.errors import CoreosError

SCRIPTS = Path(__file__).resolve().parents[2] / "packaging" / "machines"
# For what takes seconds: a deadline costs nothing until it is missed.
PATIENCE_S = 400.0
# What has been started for the machines by somebody who was killed would begin anew what goes away.
_ORPHANS = """\
for file in $(grep -lzxF "COREOS_MACHINES_DIR=$COREOS_MACHINES_DIR" /proc/[0-9]*/environ); do
    pid=${file#/proc/} pid=${pid%/environ}
    case $(ps -o sid= -o comm= -p "$pid" | xargs) in
    "$$ "* | *' systemd-nspawn' | '') ;;
    *) kill -9 "$pid" ;;
    esac
done 2>/dev/null
"""


def why_not() -> str:
    """Why machines cannot be booted here; empty when they can."""
    if os.geteuid() != 0:
        return "booting machines needs root"
    missing = [
        tool for tool in ("systemd-nspawn", "debootstrap", "nsenter") if not shutil.which(tool)
    ]
    return f"not installed: {', '.join(missing)}" if missing else ""


class Bed:
    """A place for machines, empty at first; `farewell` is what a shell does when all are gone."""

    def __init__(self, directory: Path, *, farewell: str = ":") -> None:
        # Names and addresses of this test process alone: another suite may run beside it.
        number = os.getpid()
        self.environment = os.environ | {
            "COREOS_MACHINES_DIR": str(directory),
            "COREOS_MACHINES_BRIDGE": f"ct{number:x}",
            "COREOS_MACHINES_NET": f"198.{18 + number // 250 % 2}.{number % 250}",
        }
        self._watchdog = subprocess.Popen(
            ["sh", "-c", f"read -r _; {_ORPHANS}{SCRIPTS}/down.sh; s=$?; {farewell}; exit $s"],
            stdin=subprocess.PIPE,
            env=self.environment,
            start_new_session=True,
        )

    def close(self) -> None:
        """Takes everything down; nothing is left."""
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.close()
        assert self._watchdog.wait(timeout=600) == 0

    def script(self, name: str, *arguments: str, timeout_s: float = 900) -> str:
        done = subprocess.run(
            [str(SCRIPTS / name), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"{name} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def up(self, user_data: Path, *, count: int, archive: Path) -> str:
        """Brings up machines that configure themselves; the list of fleet's machines."""
        words = ["-n", str(count), "-p", str(archive), str(user_data)]
        return self.script("up.sh", *words, timeout_s=1500)

    def run(self, number: int, *command: str) -> str:
        """What `command` prints on machine `number`; it must succeed."""
        return self.script("run.sh", str(number), *command)

    def insist(self, number: int, *command: str) -> str:
        """The same, repeated until it succeeds: an election may cost any command its answer."""
        said: list[str] = []

        def succeeds() -> bool:
            said[:] = [self.run(number, *command)]
            return True

        within(PATIENCE_S, succeeds)
        return said[0]

    def address(self, number: int) -> str:
        """The address of machine `number`."""
        return f"{self.environment['COREOS_MACHINES_NET']}.{100 + number}"

    def number_at(self, address: str) -> int:
        """The number of the machine with that address."""
        return int(address.rpartition(".")[2]) - 100

    def is_on(self, number: int) -> bool:
        """False once it has lost its power, or has gone down to reboot."""
        home = Path(self.environment["COREOS_MACHINES_DIR"]) / str(number)
        try:
            pid = int((home / "nspawn.pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return False
        return f"{home}/root".encode() in words

    def cut_power(self, number: int) -> None:
        self.script("power.sh", "cut", str(number))

    def power_on(self, number: int) -> None:
        self.script("power.sh", "on", str(number))


class Machines(Bed):
    """COUNT machines running etcd and fleet from the archive; `etcd3` is the etcd instead."""

    def __init__(
        self, directory: Path, *, count: int, archive: Path, agent_ttl: str, etcd3: str = ""
    ) -> None:
        super().__init__(directory)
        try:
            words = ["-n", str(count), "-p", str(archive), "-t", agent_ttl]
            words += ["-e", etcd3] if etcd3 else []
            self.script("up.sh", *words, timeout_s=1500)
        except BaseException:
            self.close()
            raise


def within(seconds: float, attempt: Callable[[], Any]) -> Any:
    """The first true result of `attempt`; its last result or failure when the time is over.

    Failures to ask or to understand count as "not yet".
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            last: object = attempt()
            if last:
                return last
        except (AssertionError, CoreosError, OSError, LookupError, ValueError) as error:
            last = f"{type(error).__name__}: {error}"
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {last}"
        time.sleep(0.3)
