"""fleetctl over a real OpenSSH server: ssh, tunnels, host keys, the forwarded agent."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.fleet_procs import FleetMachine
from tests.support.procs import ROOT, EtcdCluster, eventually, free_ports

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed"),
]

CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {home}/host_key
AuthorizedKeysFile {home}/user_key.pub
PidFile none
StrictModes no
UsePAM {pam}
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
SetEnv PATH={path} PYTHONPATH={root}
"""


class SSH:
    """A server of one's own, an agent with the key it lets in, and known hosts."""

    def __init__(self, home):
        self.home = home
        (self.port,) = free_ports(1)
        home.mkdir()
        for name in ("host_key", "user_key"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)]
            subprocess.run(words, check=True)
        is_root = os.geteuid() == 0
        if is_root:
            Path("/run/sshd").mkdir(exist_ok=True)
        path = f"{ROOT / 'shims'}:{os.environ['PATH']}"
        text = CONFIG.format(
            port=self.port, home=home, path=path, root=ROOT, pam="yes" if is_root else "no"
        )
        (home / "sshd_config").write_text(text)
        self.log = home / "sshd.log"
        assert SSHD is not None
        words = [SSHD, "-D", "-e", "-f", str(home / "sshd_config")]
        with self.log.open("wb") as log:
            self.server = subprocess.Popen(words, stderr=log, stdin=subprocess.DEVNULL)
        words = ["ssh-agent", "-D", "-a", str(home / "agent")]
        self.agent = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        self.env = {"SSH_AUTH_SOCK": str(home / "agent"), "HOME": str(home)}
        eventually(self._is_up)
        subprocess.run(
            ["ssh-add", "-q", str(home / "user_key")], check=True, env={**os.environ, **self.env}
        )

    def _is_up(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            greeting = sock.recv(4)
        return greeting == b"SSH-" and (self.home / "agent").exists()

    @property
    def known_hosts(self):
        return self.home / ".fleetctl" / "known_hosts"

    def trust(self, key="host_key"):
        """Note a host key as the one that is expected."""
        kind, text, *_ = (self.home / f"{key}.pub").read_text().split()
        self.known_hosts.parent.mkdir(exist_ok=True)
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {text}\n")

    def close(self):
        for process in (self.server, self.agent):
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@pytest.fixture
def ssh(tmp_path):
    server = SSH(tmp_path / "ssh")
    yield server
    server.close()


@pytest.fixture
def machine(tmp_path):
    with EtcdCluster(tmp_path) as cluster:
        found = FleetMachine(
            "a",
            tmp_path,
            etcd_url=cluster.members[0].client_url,
            listen=f"unix://{tmp_path}/fleet.sock",
        )
        found.start()
        try:
            found.wait_joined()
            yield found
        finally:
            found.die()
            found.close()


def test_the_remote_half(ssh, machine, tmp_path):
    (tmp_path / "web.service").write_text("[Service]\nExecStart=/bin/sleep 100000\n")
    assert machine.fleetctl("start", "web", cwd=tmp_path).returncode == 0
    user = f"--ssh-username={getpass.getuser()}"

    def run(*words):
        return machine.fleetctl(user, *words, env=ssh.env)

    port = f"--ssh-port={ssh.port}"
    # A host nobody knows is not trusted without a person to ask.
    stranger = run("ssh", port, "a000", "true")
    assert (stranger.returncode, stranger.stdout) == (255, ""), stranger
    assert "Host key verification failed." in stranger.stderr
    loose = run("--strict-host-key-checking=false", "ssh", port, "a000", "echo", "$((6*7))")
    assert (loose.returncode, loose.stdout) == (0, "42\n"), ssh.log.read_text()
    assert not ssh.known_hosts.exists()

    ssh.trust()
    for words in (["a000"], ["web"], ["web.service"], ["--machine", "a"], ["--unit=web", "--"]):
        done = run("ssh", port, *words, "exit", "7")
        assert done.returncode == 7, (words, done)
    quiet = run("ssh", port, "a000", "--", "ssh-add", "-l")
    assert quiet.returncode != 0
    forwarded = run("ssh", "-A", port, "a000", "--", "ssh-add", "-l")
    assert re.search(r"\(ED25519\)", forwarded.stdout), forwarded

    # Through a tunnel: over fd-forward to a socket, or straight on to a port.
    tunnel = f"--tunnel=127.0.0.1:{ssh.port}"
    for endpoint in (f"unix://{tmp_path}/fleet.sock", machine.url):
        done = run("--endpoint", endpoint, tunnel, "list-units", "--fields=unit", "--no-legend")
        assert (done.returncode, done.stdout) == (0, "web.service\n"), (done, ssh.log.read_text())
    hop = run(tunnel, "ssh", port, "a000", "echo", "there")
    assert (hop.returncode, hop.stdout) == (0, "there\n"), hop

    ssh.trust("user_key")
    changed = run("ssh", port, "a000", "true")
    assert changed.returncode == 255
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in changed.stderr
