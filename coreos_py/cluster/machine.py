"""One machine of a local cluster: to its daemons this process is what init is on a real machine.

It adopts every orphan below it, starts etcd and fleetd, starts them again when they end, and on
SIGTERM ends fleetd first (which moves its units away), then etcd, then whatever is left.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid

from coreos_py.cluster import proctree, spec, state

RESTART_DELAY_S = 1.0
STOP_TIMEOUT_S = 15.0
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}


class Daemon:
    """A daemon the machine keeps running; its output goes to a log file of its own."""

    def __init__(self, argv: list[str], *, environment: dict[str, str], log_path: str) -> None:
        self.argv = argv
        self.environment = environment
        self.log_path = log_path
        self.pid = 0
        self.start_at = 0.0

    def start(self) -> None:
        with open(self.log_path, "ab") as log:
            process = subprocess.Popen(
                self.argv,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_in_child,
            )
        self.pid = process.pid
        process.returncode = 0  # run() reaps every child itself

    def ended(self, *, now: float) -> None:
        self.pid = 0
        self.start_at = now + RESTART_DELAY_S


def run(directory: str, number: int) -> int:
    """The whole life of machine `number` of the cluster in `directory`."""
    cluster = state.load(directory)
    machine = cluster.machine(number)
    proctree.become_subreaper()
    proctree.die_with_parent(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    etcd, fleetd = daemons(directory, cluster, machine)
    while True:
        now = time.monotonic()
        for daemon in (etcd, fleetd):
            if not daemon.pid and now >= daemon.start_at:
                daemon.start()
        if _wait(0.5) in (signal.SIGTERM, signal.SIGINT):
            break
        _reap([etcd, fleetd])
    for daemon in (fleetd, etcd):
        _stop(daemon, [etcd, fleetd])
    for pid in proctree.descendants(os.getpid()):
        proctree.send(pid, signal.SIGKILL)
    return 0


def daemons(directory: str, cluster: spec.Cluster, machine: spec.Machine) -> tuple[Daemon, Daemon]:
    """etcd and fleetd as this machine runs them."""
    home = state.machine_home(directory, machine.number)
    folder = state.commands_folder(directory)
    base = os.environ | spec.machine_environment(cluster, machine)
    base["PATH"] = f"{folder}:{os.environ.get('PATH', os.defpath)}"
    base[state.MARK] = home
    # For fleetd's own units: what ran before this machine's power was cut ran in another boot.
    base["COREOS_BOOT_ID"] = uuid.uuid4().hex
    etcd = Daemon(
        [
            os.path.join(folder, "etcd"),
            *spec.etcd_arguments(cluster, machine, data_dir=f"{home}/etcd"),
        ],
        environment=base,
        log_path=f"{home}/etcd.log",
    )
    fleetd = Daemon(
        [os.path.join(folder, "fleetd")],
        environment=base | spec.fleet_environment(cluster, machine, home=home),
        log_path=f"{home}/fleetd.log",
    )
    return etcd, fleetd


def _in_child() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    proctree.die_with_parent(signal.SIGTERM)


def _wait(timeout_s: float) -> int:
    info = signal.sigtimedwait(SIGNALS, timeout_s)
    return info.si_signo if info is not None else 0


def _reap(own: list[Daemon]) -> None:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        for daemon in own:
            if daemon.pid == pid:
                daemon.ended(now=time.monotonic())


def _stop(daemon: Daemon, own: list[Daemon]) -> None:
    if daemon.pid:
        proctree.send(daemon.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while daemon.pid:
        if time.monotonic() > deadline:
            proctree.send(daemon.pid, signal.SIGKILL)
        _wait(0.2)
        _reap(own)
