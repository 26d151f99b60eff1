"""A machine on a disk image, with the real engine, for tests of updates."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from coreos_py.omaha.codes import ErrorCode
from coreos_py.update import gpt
from coreos_py.update.attempt import Operation
from coreos_py.update.disk import Disk
from coreos_py.update.engine import Engine, Places
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.slots import Slots
from coreos_py.update.transfer import Patience
from tests.support import payloads
from tests.support.slots import SLOT_SIZE, Bits, make_disk

QUICK = Patience(retry_s=0.01, check_retry_s=0.01, answer_s=60, connect_s=60, slow_s=60)


class Machine:
    """One machine: a disk image and a root directory."""

    def __init__(self, path: Path, server: str, *, key: bool = True, b: Bits = (0, 0, 0)) -> None:
        self.root = path / "root"
        self.disk = make_disk(path / "disk", a=(2, 0, 1) if any(b) else (1, 0, 1), b=b)
        self.current = 3
        for folder in ("etc/coreos", "usr/share/coreos", "tmp", "run", "boot/coreos"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "etc/coreos/update.conf").write_text(f"GROUP=beta\nSERVER={server}\n")
        (self.root / "etc/machine-id").write_text("a1b2\n")
        if key:
            keys = self.root / "usr/share/update_engine"
            keys.mkdir()
            public = Path(payloads.PUBLIC_KEY).read_bytes()
            (keys / "update-payload-key.pub.pem").write_bytes(public)
        self.boot()
        self.postinst_problem: int = 0
        self.ran: list[tuple[str, list[str]]] = []
        self.statuses: list[Operation] = []

    def boot(self) -> int:
        """What the boot loader does; the partition that runs now."""
        with Disk(self.disk, write=True) as disk:
            table = disk.gpt()
            table.check()
            index = gpt.choose(table.entries)
            assert index is not None
            entry = table.entries[index]
            if entry.tries:
                table.entries[index] = entry.marked(tries=entry.tries - 1)
                disk.save(table)
        self.current = index + 1
        self.version = {3: "1.0.0", 4: "2.0.0"}[self.current]
        (self.root / "run/update_engine_autoupdate_completed").unlink(missing_ok=True)
        release = f"COREOS_RELEASE_VERSION={self.version}\nCOREOS_RELEASE_BOARD=amd64-usr\n"
        (self.root / "usr/share/coreos/release").write_text(release)
        return self.current

    async def _postinst(self, slot, words):
        self.ran.append((slot.label, words))
        if self.postinst_problem:
            raise PayloadError(ErrorCode(self.postinst_problem), "as the test wants it")

    def engine(self) -> Engine:
        return Engine(
            Places(root=str(self.root)),
            lambda: Slots(self.disk, self.current),
            rng=random.Random(1),
            on_status=lambda status: self.statuses.append(status.operation),
            patience=QUICK,
            run_postinst=self._postinst,
        )

    def check(self, *, on_demand: bool = True) -> Engine:
        """One attempt by a fresh daemon."""

        async def run() -> Engine:
            engine = self.engine()
            await engine.check(on_demand=on_demand)
            return engine

        return asyncio.run(run())

    def content(self, number: int) -> bytes:
        slots = Slots(self.disk, number)
        area = slots.current.open()
        data = area.read(0, SLOT_SIZE)
        area.close()
        return data

    def pref(self, name: str) -> str:
        return (self.root / "var/lib/update_engine/prefs" / name).read_text()
