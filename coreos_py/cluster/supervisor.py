"""The process above the machines of a local cluster: starts them, does to them what it is told.

It listens on control.sock for one JSON request a line (control.py speaks it). A machine is a
process tree (machine.py): `kill` is a power cut, `pause` a frozen machine, `resume` ends either.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid

from coreos_py.base.errors import ConfigError, CoreosError
from coreos_py.cluster import control, members, proctree, spec, state

STOP_TIMEOUT_S = 10.0
UNIT_GRACE_S = 3.0


class Supervisor:
    """Owns the machines of the cluster in `directory`; one at a time per directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.cluster = state.load(directory)
        self.processes: dict[int, asyncio.subprocess.Process] = {}
        self.paused: set[int] = set()
        self.ending = asyncio.Event()
        self.busy = asyncio.Lock()

    async def run(self) -> None:
        """Starts every machine and serves requests until told to end."""
        os.umask(0o077)
        for sig in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(sig, self.ending.set)
        async with control.listening(self.directory, self._client):
            state.write_supervisor(self.directory, os.getpid())
            for machine in self.cluster.machines:
                await self._start(machine)
            await self.ending.wait()
            async with self.busy:
                await self._end_all()

    async def _start(self, machine: spec.Machine) -> None:
        folder = state.commands_folder(self.directory)
        log_path = os.path.join(state.machine_home(self.directory, machine.number), "machine.log")
        with open(log_path, "ab") as log:  # noqa: ASYNC230 - local, once per machine
            self.processes[machine.number] = await asyncio.create_subprocess_exec(
                os.path.join(folder, "coreos"),
                "cluster",
                "run-machine",
                f"--dir={self.directory}",
                str(machine.number),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        say(f"{machine.name} started (pid {self.processes[machine.number].pid})")

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            verb, number = request["verb"], int(request.get("number", 0))
        except (ValueError, KeyError, TypeError):
            return {"error": f"not a request: {line[:80]!r}"}
        try:
            return await self._do(verb, number)
        except CoreosError as error:
            return {"error": str(error)}
        except OSError as error:
            return {"error": f"{verb}: {error}"}

    async def _do(self, verb: str, number: int) -> dict[str, object]:
        async with self.busy:
            match verb:
                case "status":
                    return {
                        "machines": {str(m.number): self._state(m) for m in self.cluster.machines}
                    }
                case "add":
                    return {"number": await self._add()}
                case "end":
                    await self._end_all()
                    asyncio.get_running_loop().call_soon(self.ending.set)
                    return {}
            machine = self.cluster.machine(number)
            before = self._state(machine)
            match verb, before:
                case ("kill", "killed") | ("pause", "paused") | ("resume", "running"):
                    raise ConfigError(f"machine {number} is already {before}")
                case "pause", "killed":
                    raise ConfigError(f"machine {number} is killed, it cannot be paused")
                case "kill", _:
                    await self._kill(number)
                case "pause", _:
                    proctree.signal_tree(self.processes[number].pid, signal.SIGSTOP)
                    self.paused.add(number)
                case "resume", "paused":
                    self._continue(number)
                case "resume", _:
                    await self._start(machine)
                case _:
                    return {"error": f"unknown verb {verb!r}"}
            say(f"{machine.name}: {verb} ({before} -> {self._state(machine)})")
            return {"state": self._state(machine)}

    def _state(self, machine: spec.Machine) -> str:
        process = self.processes.get(machine.number)
        if process is None or process.returncode is not None:
            return "killed"
        return "paused" if machine.number in self.paused else "running"

    async def _kill(self, number: int) -> None:
        process = self.processes[number]
        self.paused.discard(number)
        gone = await asyncio.to_thread(proctree.kill_tree, process.pid, within_s=STOP_TIMEOUT_S)
        if not gone:
            raise ConfigError(f"machine {number} did not end within {STOP_TIMEOUT_S:g} s")
        await process.wait()

    def _continue(self, number: int) -> None:
        self.paused.discard(number)
        proctree.signal_tree(self.processes[number].pid, signal.SIGCONT)

    async def _add(self) -> int:
        machine_id = uuid.uuid4().hex
        urls = [m.client_url for m in self.cluster.machines if self._state(m) == "running"]
        grown = spec.joined(
            self.cluster,
            machine_id=machine_id,
            members=await asyncio.to_thread(members.listed, urls),
        )
        machine = grown.machines[-1]
        await asyncio.to_thread(members.add, urls, peer_url=machine.peer_url)
        state.save(self.directory, grown)
        self.cluster = grown
        await self._start(machine)
        return machine.number

    async def _end_all(self) -> None:
        """Ends the cluster as one: no daemon sees another die, and services get a SIGTERM."""
        for number in sorted(self.paused):
            self._continue(number)
        running = {
            number: process.pid
            for number, process in self.processes.items()
            if process.returncode is None
        }
        for pid in running.values():
            proctree.send(pid, signal.SIGSTOP)
        for pid in running.values():
            for child in proctree.descendants(pid):
                proctree.send(child, signal.SIGKILL if is_fleetd(child) else signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + UNIT_GRACE_S
        while any(proctree.descendants(pid) for pid in running.values()):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.05)
        await asyncio.gather(*(self._kill(number) for number in running))
        say("all machines ended")


def is_fleetd(pid: int) -> bool:
    """fleetd would move units away from a machine that ends; when all end, that is only noise."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return False
    return any(word.rpartition(b"/")[2] == b"fleetd" for word in words[:4])


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
