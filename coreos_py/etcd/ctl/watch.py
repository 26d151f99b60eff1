"""etcdctl watch and exec-watch."""

from __future__ import annotations

import os
import signal
import sys

from coreos_py.base.errors import CoreosError
from coreos_py.etcd.ctl import lasting
from coreos_py.etcd.ctl.keys import required_key
from coreos_py.etcd.ctl.output import show
from coreos_py.etcd.ctl.session import (
    EXIT_BAD_ARGS,
    EXIT_SERVER_ERROR,
    Fatal,
    fail,
    synced_client,
)
from coreos_py.etcdclient import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from coreos_py.cli.program import Call
    from coreos_py.etcdclient.model import Node, Result
    from coreos_py.etcdclient.sync_client import Etcd


def watch(call: Call) -> int:
    """Print the next event of a key, or with --forever every one until interrupted."""
    client = synced_client(call)
    key = required_key(call)
    recursive = call.flags["recursive"]
    _exit_0_on_interrupt()
    after = call.flags["after-index"]
    if call.flags["forever"]:
        events = lasting.events(client, key, after_index=after, recursive=recursive)
    else:
        events = _events(client, key, after_index=after, recursive=recursive)
    for event in events:
        if event.node.dir:
            continue
        if recursive:
            print(f"[{event.action}] {event.node.key}")
        show(event, call.settings["output"])
        sys.stdout.flush()
        if not call.flags["forever"]:
            break
    return 0


def exec_watch(call: Call) -> int:
    """Run a command for every event of a key, without waiting for it."""
    client = synced_client(call)
    key, command = _key_and_command(call)
    after = call.flags["after-index"]
    _exit_0_on_interrupt()
    runner = _Runner(command)
    # One past what was asked for: etcdctl 2.3.8 counts after-index twice here.
    events = lasting.events(
        client, key, after_index=after + 1 if after else 0, recursive=call.flags["recursive"]
    )
    for event in events:
        if event.node.dir:
            print(f"Ignored dir {event.node.key} change", end="", file=sys.stderr, flush=True)
        else:
            runner.start(event.action, event.node)
    return 0


def _events(client: Etcd, key: str, *, after_index: int, recursive: bool) -> Iterator[Result]:
    wait_index = lasting.first_index(after_index)
    while True:
        try:
            event = client.result(calls.wait(key, wait_index=wait_index, recursive=recursive))
        except CoreosError as err:
            fail(EXIT_SERVER_ERROR, err)
        wait_index = event.node.modified_index + 1
        yield event


def _key_and_command(call: Call) -> tuple[str, list[str]]:
    """`<key> -- <command...>`; without the dashes etcdctl 2.3.8 takes `<command...> <key>`."""
    args, dash = call.args, call.dash
    if len(args) < 2:
        fail(EXIT_BAD_ARGS, "key and command to exec required")
    if dash > 0:
        return args[0], args[dash:]
    return args[-1], args[:-1]


def _exit_0_on_interrupt() -> None:
    signal.signal(signal.SIGINT, lambda _signum, _frame: os._exit(0))


class _Runner:
    """Starts the command per event; children run side by side and are reaped as they end."""

    def __init__(self, command: list[str]) -> None:
        import subprocess

        self._popen = subprocess.Popen
        self._null = subprocess.DEVNULL
        self._command = command
        self._children: list[subprocess.Popen[bytes]] = []
        signal.signal(signal.SIGCHLD, lambda _signum, _frame: self._reap())

    def start(self, action: str, node: Node) -> None:
        env = dict(os.environ)
        env["ETCD_WATCH_ACTION"] = action
        env["ETCD_WATCH_MODIFIED_INDEX"] = str(node.modified_index)
        env["ETCD_WATCH_KEY"] = node.key
        env["ETCD_WATCH_VALUE"] = node.value
        try:
            child = self._popen(self._command, env=env, stdin=self._null)
        except FileNotFoundError:
            problem = f'exec: "{self._command[0]}": executable file not found in $PATH'
            raise Fatal(EXIT_BAD_ARGS, problem) from None
        except (OSError, ValueError) as err:
            reason = getattr(err, "strerror", None) or err
            problem = f"fork/exec {self._command[0]}: {str(reason).lower()}"
            raise Fatal(EXIT_BAD_ARGS, problem) from None
        self._children.append(child)

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]
