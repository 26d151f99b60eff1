"""An embedded unit manager on a directory of its own, driven step by step by a test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from coreos_py.base import unitfile
from coreos_py.systemd.embedded import process
from coreos_py.systemd.embedded.supervisor import EmbeddedManager

PATIENCE_S = 60.0


class Bench:
    """A manager with short names for what tests do."""

    def __init__(self, directory: Path, **options):
        self.directory = directory
        self.manager = EmbeddedManager(str(directory / "state"), machine_id="m" * 32, **options)

    async def __aenter__(self):
        await self.manager.open()
        return self

    async def __aexit__(self, *exception):
        for name in await self.manager.units():
            await self.manager.unload(name)
        await self.manager.close()

    async def load(self, name, text):
        await self.manager.load(name, unitfile.parse(text))

    async def run(self, name, text):
        await self.load(name, text)
        await self.manager.start(name)

    async def sub(self, name):
        return (await self.manager.states([name]))[name].sub

    async def reach(self, name, *subs):
        """Wait until the unit is in one of these sub states."""
        deadline = time.monotonic() + PATIENCE_S
        while (now := await self.sub(name)) not in subs:
            if time.monotonic() > deadline:
                lines = "\n".join(await self.output(name))
                raise AssertionError(f"{name} is {now}, not {subs}; it said:\n{lines}")
            await asyncio.sleep(0.01)
        return now

    async def until_restarted(self, name, pid):
        """Wait until another process than `pid` runs; between the two, all states may be short."""

        async def runs_anew():
            return self.main_pid(name) not in (None, 0, pid) and await self.sub(name) == "running"

        await eventually_true(runs_anew, f"{name} runs again")

    async def output(self, name, *, own=True):
        """Texts of the unit's journal; without `own`, only what the unit itself printed."""
        lines = await self.manager.journal(name, lines=-1)
        return [line.text for line in lines if own or line.ident != "fleetd"]

    async def until_printed(self, name, text):
        await eventually_true(lambda: self._printed(name, text), f"{name} prints {text}")

    async def _printed(self, name, text):
        return any(text in line for line in await self.output(name, own=False))

    def main_pid(self, name):
        return self.manager._runner.engine.services[name].main_pid

    def tree(self, name):
        mark = self.manager._runner.runs[name].mark
        return [one.pid for one in process.tree(mark, process.processes())]


async def eventually_true(check, what):
    """Poll an asynchronous check."""
    deadline = time.monotonic() + PATIENCE_S
    while not await check():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.02)


def alive(pid):
    return process.is_alive(process.look_up(pid))


def until_gone(pid):
    deadline = time.monotonic() + PATIENCE_S
    while alive(pid):
        assert time.monotonic() < deadline, f"pid {pid} still runs"
        time.sleep(0.02)


DRIVER = """
import asyncio, sys
from coreos_py.base import unitfile
from coreos_py.systemd.embedded.supervisor import EmbeddedManager

async def main(state_dir, *units):
    manager = EmbeddedManager(state_dir, machine_id="m" * 32)
    print("set", flush=True)
    await manager.open()
    for name, path in zip(units[::2], units[1::2]):
        with open(path, "rb") as file:
            await manager.load(name, unitfile.parse(file.read()))
        await manager.start(name)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@contextlib.asynccontextmanager
async def separate_manager(directory: Path, units):
    """A manager in a process of its own that has started `units`; killed when left."""
    arguments = [str(directory / "state")]
    for name, text in units.items():
        path = directory / f"source-{name}"
        path.write_text(text)
        arguments += [name, str(path)]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    driver = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DRIVER, *arguments, stdout=asyncio.subprocess.PIPE, env=environment
    )
    try:
        assert driver.stdout is not None
        lines = [await asyncio.wait_for(driver.stdout.readline(), PATIENCE_S) for _ in range(2)]
        assert lines == [b"set\n", b"ready\n"]
        yield driver
    finally:
        with contextlib.suppress(ProcessLookupError):
            driver.send_signal(signal.SIGKILL)
        await driver.communicate()
