"""fleetctl by way of ssh: the ssh command, commands on other machines, --tunnel, fd-forward.

The system's ssh program does the work; fleetctl's flags become its options.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from coreos_py.base.gostring import quote
from coreos_py.fleet.ctl.client import APIError
from coreos_py.fleet.ctl.session import Session, command, complain, tls_context, unit_name
from coreos_py.http.client import HTTPClient, TransportError

if TYPE_CHECKING:
    from coreos_py.cli.program import Call
    from coreos_py.cli.settings import Values
    from coreos_py.http.url import Endpoint

EXIT_SSH_FAILED = 255
_CHUNK_BYTES = 1 << 16


class LookupFailed(Exception):
    """No address was found; str() is what follows "Unable to proceed: "."""


@command
def ssh(session: Session) -> int:
    """Open a shell or run a command on a machine."""
    flags, words = session.flags, list(session.args)
    if flags["machine"] and flags["unit"]:
        complain("Both machine and unit flags provided, please specify only one.")
        return 1
    dash = session.dash
    try:
        if flags["machine"]:
            address = _machine_address(session, flags["machine"])
        elif flags["unit"]:
            address = _unit_address(session, flags["unit"])
        else:
            address = _any_address(session, words)
            words, dash = words[1:], dash - 1
    except (LookupFailed, APIError) as err:
        complain(f"Unable to proceed: {err}")
        return 1
    if not address:
        complain("Could not determine address of machine.")
        return 1
    if dash > 0:
        words = words[dash:]
    options = ["-A"] if flags["forward-agent"] else []
    opening = ssh_command(session.settings, address, port=flags["ssh-port"], options=options)
    return run_here([*opening, *([" ".join(words)] if words else [])])


def fd_forward(call: Call) -> int:
    """Connect stdin and stdout to a unix socket until either side ends."""
    if len(call.args) != 1:
        complain("Provide a single argument")
        return 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(call.args[0])
        except OSError as err:
            problem = (err.strerror or str(err)).lower()
            complain(f"Failed dialing remote address: dial unix {call.args[0]}: {problem}")
            return 1
        _pump(sock)
    return 0


def run_on_machine(session: Session, machine_id: str, words: list[str]) -> int:
    """Run a command on the machine by ssh; each word quoted, as fleetctl 1.0.0 does."""
    machine = session.machine(machine_id)
    if machine is None or not machine.ip:
        complain(f"Error getting machine IP: Machine({machine_id}) is unknown or has none")
        return 1
    port = session.flag("ssh-port")
    opening = ssh_command(session.settings, machine.ip, port=port, options=[])
    return run_here([*opening, " ".join([words[0], *(quote(word) for word in words[1:])])])


def run_here(words: list[str]) -> int:
    """Run a program with our stdin, stdout and stderr; its exit code."""
    sys.stdout.flush()
    try:
        return subprocess.run(words, check=False).returncode
    except OSError as err:
        complain(f"Error running local command: {words[0]}: {err.strerror}")
        return EXIT_SSH_FAILED if words[0] == "ssh" else 1


def ssh_command(
    settings: Values, address: str, *, port: int, options: list[str], through: bool = True
) -> list[str]:
    """Return the words that start the system's ssh as the settings ask for."""
    words = ["ssh", "-l", settings["ssh-username"], "-p", str(port), *_trust(settings)]
    words += ["-o", f"ConnectTimeout={max(int(settings['ssh-timeout']), 1)}"]
    if settings["tunnel"] and through:
        # Not -J, whose inner ssh would not get the same options.
        host, inner_port = _tunnel(settings)
        hop = ssh_command(settings, host, port=inner_port, options=[], through=False)
        words += ["-o", "ProxyCommand=" + " ".join([*hop[:-1], "-W", "[%h]:%p", hop[-1]])]
    return [*words, *options, address]


def _trust(settings: Values) -> list[str]:
    if not settings["strict-host-key-checking"]:
        return ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    known_hosts = os.path.expanduser(settings["known-hosts-file"])
    os.makedirs(os.path.dirname(known_hosts) or ".", mode=0o700, exist_ok=True)
    return ["-o", f"UserKnownHostsFile={known_hosts}"]


def _tunnel(settings: Values) -> tuple[str, int]:
    host, colon, port = settings["tunnel"].rpartition(":")
    if not colon:
        return settings["tunnel"], 22
    if not port.isdecimal():
        raise ValueError(f"failed initializing SSH client: invalid port in {settings['tunnel']!r}")
    return host, int(port)


class TunnelledClient(HTTPClient):
    """Requests through `ssh`: to a socket on the far host, or on from there by TCP."""

    def __init__(self, settings: Values) -> None:
        super().__init__(tls=lambda: tls_context(settings))
        self._settings = settings
        self._pipes: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        """Close the connections and end their ssh processes."""
        super().close()
        for pipe in self._pipes:
            pipe.terminate()
            pipe.wait()

    def _connect(self, endpoint: Endpoint, deadline: float | None) -> socket.socket:
        host, port = _tunnel(self._settings)
        words = ssh_command(self._settings, host, port=port, options=[], through=False)
        if endpoint.socket_path:
            words.append(f"fleetctl fd-forward {endpoint.socket_path}")
        else:
            words[-1:] = ["-W", f"{endpoint.host}:{endpoint.port}", words[-1]]
        ours, theirs = socket.socketpair()
        with theirs:
            far = theirs.fileno()
            try:
                self._pipes.append(subprocess.Popen(words, stdin=far, stdout=far))
            except OSError as err:
                raise TransportError(f"ssh: {err.strerror}") from None
        if endpoint.scheme == "https":
            return self._tls().wrap_socket(ours, server_hostname=endpoint.host)
        return ours


def _any_address(session: Session, words: list[str]) -> str:
    if not words:
        raise LookupFailed("one machine or unit must be provided")
    found = []
    for look in (_machine_address, _unit_address):
        try:
            found.append(look(session, words[0]))
        except (LookupFailed, APIError) as err:
            session.debug(f"{words[0]}: {err}")
    if len(found) > 1:
        raise LookupFailed(
            f"ambiguous argument, both machine and unit found for `{words[0]}`.\n"
            "Please use flag `-m` or `-u` to refine the search"
        )
    if not found:
        raise LookupFailed("could not find matching unit or machine")
    return found[0]


def _machine_address(session: Session, prefix: str) -> str:
    found = [machine for machine in session.client.machines() if machine.id.startswith(prefix)]
    if len(found) > 1:
        raise LookupFailed("found more than one machine")
    if not found:
        raise LookupFailed("machine does not exist")
    return found[0].ip


def _unit_address(session: Session, argument: str) -> str:
    unit = session.client.unit(unit_name(argument))
    if unit is None:
        raise LookupFailed("unit does not exist")
    if unit.is_global:
        raise LookupFailed("global units unsupported")
    machine = session.machine(unit.machine_id)
    if machine is None or not machine.ip:
        raise LookupFailed("could not find matching unit or machine")
    return machine.ip


def _pump(sock: socket.socket) -> None:
    sources = [0, sock.fileno()]
    while sock.fileno() in sources:
        for fd in select.select(sources, [], [])[0]:
            if fd == 0:
                data = os.read(0, _CHUNK_BYTES)
                if data:
                    sock.sendall(data)
                else:
                    sock.shutdown(socket.SHUT_WR)
                    sources.remove(0)
                continue
            data = sock.recv(_CHUNK_BYTES)
            if not data:
                return
            while data:
                data = data[os.write(1, data) :]
