"""Bringing a local cluster up: found it, start its supervisor, wait until it is healthy."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable

from coreos_py.base.errors import ConfigError, CoreosError, Unavailable
from coreos_py.cluster import control, members, proctree, programs, spec, state

Report = Callable[[str], None]

_claims: list[socket.socket] = []  # of this process, for as long as it lives


def found(directory: str, *, count: int, agent_ttl: str, metadata: list[str]) -> spec.Cluster:
    """Makes the cluster's directory and description; nothing is started."""
    cluster = spec.found(
        count,
        network=free_network(min(count, spec.MACHINES_MAX)),
        machine_ids=[uuid.uuid4().hex for _ in range(count)],
        token=f"coreos-cluster-{uuid.uuid4().hex}",
        agent_ttl=agent_ttl,
        metadata=metadata,
    )
    state.prepare(directory)
    try:
        programs.place(directory)
        state.save(directory, cluster)
    except OSError as error:
        state.remove(directory)
        raise ConfigError(f"cannot write to {directory}: {error.strerror}") from error
    return cluster


def free_network(count: int) -> str:
    """The first loopback network on which the machines' ports are free.

    No other process is given it while this one lives: its machines open their ports by and by.
    """
    for network in spec.NETWORKS:
        claim = _claim(network)
        if claim is None:
            continue
        if all(
            port_is_free(spec.address(network, n + 1), p) for n in range(count) for p in spec.PORTS
        ):
            _claims.append(claim)
            return network
        claim.close()
    raise ConfigError(f"no free addresses for {count} machines in 127.17.0.0/16")


def _claim(network: str) -> socket.socket | None:
    """A name that only one process of this host can have at a time."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0coreos-cluster-{network}")
    except OSError:
        claim.close()
        return None
    return claim


def port_is_free(ip: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError:
            return False
    return True


def clear_leftovers(directory: str) -> None:
    """Ends processes that a supervisor which was killed has left behind."""
    for pid in state.leftovers(directory):
        proctree.end_process(pid)


def start_supervisor(directory: str) -> None:
    """Starts the supervisor in a session of its own and waits until it listens."""
    command = os.path.join(state.commands_folder(directory), "coreos")
    with open(os.path.join(directory, "supervisor.log"), "ab") as log:
        process = subprocess.Popen(
            [command, "cluster", "supervise", f"--dir={directory}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + 20
    _wait_supervisor(directory, lambda: process.poll() is None and time.monotonic() < deadline)


def _wait_supervisor(directory: str, worth_waiting: Callable[[], bool]) -> None:
    while worth_waiting():
        try:
            control.ask(directory, "status")
        except Unavailable:
            time.sleep(0.05)
        else:
            return
    raise CoreosError(
        f"the supervisor did not start: {tail(os.path.join(directory, 'supervisor.log'))}"
    )


def wait_healthy(
    directory: str, cluster: spec.Cluster, *, timeout_s: float, report: Report
) -> None:
    """Returns when every member is healthy and fleet sees every machine; reports each step once."""
    deadline = time.monotonic() + timeout_s
    _wait_supervisor(directory, lambda: time.monotonic() < deadline)
    waiting = {machine.number: machine for machine in cluster.machines}
    while waiting:
        for machine in list(waiting.values()):
            if members.is_healthy(machine.client_url):
                report(f"{machine.name} etcd is healthy at {machine.client_url}")
                del waiting[machine.number]
        _check(directory, deadline, what="etcd", machines=list(waiting.values()))
    wanted = {machine.machine_id for machine in cluster.machines}
    seen: set[str] = set()
    while seen != wanted:
        seen = wanted & members.fleet_machines(cluster.machines[0].fleet_url)
        missing = [machine for machine in cluster.machines if machine.machine_id not in seen]
        _check(directory, deadline, what="fleetd", machines=missing)
    report(f"fleet sees {len(wanted)} machines")


def _check(directory: str, deadline: float, *, what: str, machines: list[spec.Machine]) -> None:
    if not machines:
        return
    if time.monotonic() > deadline or not state.supervisor(directory):
        home = state.machine_home(directory, machines[0].number)
        last = tail(os.path.join(home, f"{what}.log"))
        raise CoreosError(f"{what} of {machines[0].name} is not healthy: {last}")
    time.sleep(0.1)


def tail(path: str) -> str:
    """The last line of a log, or where it would have been."""
    try:
        with open(path, "rb") as file:
            lines = file.read()[-4096:].decode(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else f"see {path}"
