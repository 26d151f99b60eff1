"""A provisioning script of the usual shape brings up machines that configure themselves.

Under the conditions that such scripts meet: a cloud-config that went through Ruby, a discovery
service that answers only the third time, and a machine whose etcd comes half a minute late.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support import machines as support
from tests.support.machines import PATIENCE_S, Bed, within

TOP = Path(__file__).resolve().parents[2]
EXAMPLE = TOP / "packaging" / "examples" / "bring-up"
COUNT = 3
DEAF = 2  # how often each client asks before it is answered

pytestmark = [pytest.mark.machine, pytest.mark.timeout(2400)]

# As Ruby dumps it: a document start, its own order and quotes, lists not indented, no comments.
USER_DATA = r"""#cloud-config

---
write_files:
- path: "/etc/motd"
  permissions: '0644'
  content: |
    One of a cluster; its address is $private_ipv4.
coreos:
  units:
  - name: etcd2.service
    drop-ins:
    - name: 40-late.conf
      content: |
        [Service]
        ExecStartPre=/bin/sh -c '[ -e /var/lib/etcd2/member ] || [ %H != core-03 ] || sleep 30'
    command: start
  - name: fleet.service
    command: start
  - name: flanneld.service
    drop-ins:
    - name: 50-network-config.conf
      content: |
        [Service]
        ExecStartPre=/usr/bin/etcdctl set /coreos.com/network/config '{ "Network": "10.1.0.0/16" }'
    command: start
  - name: docker-tcp.socket
    enable: true
    content: |
      [Socket]
      ListenStream=2375
      Service=docker.service

      [Install]
      WantedBy=sockets.target
    command: start
  - name: last.service
    content: |
      [Service]
      Type=oneshot
      RemainAfterExit=yes
      ExecStart=/bin/true
    command: start
  flannel:
    interface: "$public_ipv4"
  etcd2:
    discovery: DISCOVERY_URL
    listen-peer-urls: http://$private_ipv4:2380,http://$private_ipv4:7001
    listen-client-urls: http://0.0.0.0:2379,http://0.0.0.0:4001
    initial-advertise-peer-urls: http://$private_ipv4:2380
    advertise-client-urls: http://$public_ipv4:2379
  fleet:
    metadata: role=worker
    public-ip: "$public_ipv4"
  update:
    reboot-strategy: 'off'
"""

# Every line has to succeed on a machine; `index` is a function.
FORMS = (TOP / "tests" / "data" / "bringup" / "forms.txt").read_text()
INDEX = "index() { etcdctl -o extended get /watched | sed -n 's/^Modified-Index: //p'; }\n"
# On a busy host an answer may need more than etcdctl's second, and any an election.
PATIENT = """\
etcdctl() { command etcdctl --timeout 20s --total-timeout 60s "$@"; }
trouble='Leader Election|Raft Internal|cluster is unavailable|timed out|rror:? 50[03]'
trouble="$trouble|communicate with etcd|find an active unit"
tell() { echo "$1: $(cat /tmp/said)"; }
"""
FORM = """\
for n in $(seq 30); do
    ({line}) >/tmp/said 2>&1 && break
    [ $n -lt 30 ] && grep -qE "$trouble" /tmp/said || {{ tell {number}; break; }}
    sleep 2
done
"""
VAGRANT = """#cloud-config
write_files:
- path: /etc/vagrant-was-here
  content: $public_ipv4
"""
INSTALLED = VAGRANT.replace("vagrant", "install").replace("$public_ipv4", "at $private_ipv4")


class DeafDiscovery(ThreadingHTTPServer):
    """Stands in front of the discovery service: 503 until a client has asked often enough."""

    daemon_threads = True

    def __init__(self, host: str, service: str) -> None:
        super().__init__((host, 0), _Front)
        self.service = service.removeprefix("http://")
        self.url = f"http://{host}:{self.server_address[1]}"
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()

    def is_deaf(self, client: str) -> bool:
        with self.lock:
            self.asked[client] += 1
            return self.asked[client] <= DEAF


class _Front(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DeafDiscovery

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.is_deaf(self.client_address[0]):
            return self._answer(503, {}, b"")
        upstream = http.client.HTTPConnection(self.server.service, timeout=900)
        try:
            headers = {name: value for name, value in self.headers.items() if name != "Host"}
            upstream.request(self.command, self.path, body, headers)
            reply = upstream.getresponse()
            data = reply.read().replace(self.server.service.encode(), self.server.url[7:].encode())
            self._answer(reply.status, dict(reply.getheaders()), data)
        except OSError:
            self.close_connection = True
        finally:
            upstream.close()

    do_PUT = do_GET

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


class BroughtUp:
    """What the script left and what it said."""

    def __init__(self, bed: Bed, said: str, user_data: Path, archive: Path) -> None:
        self.bed = bed
        self.said = said
        self.user_data = user_data
        self.archive = archive


@pytest.fixture(scope="module")
def brought_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BroughtUp]:
    if reason := support.why_not():
        pytest.skip(reason)
    archive = TOP / "dist" / "coreos.pyz"
    assert archive.exists(), "packaging/build.sh makes the archive"
    place = tmp_path_factory.mktemp("bringup")
    (place / "template").write_text(USER_DATA)
    bed = Bed(place / "m")
    try:
        service = bed.script("discovery.sh", "-p", str(archive)).strip()
        front = DeafDiscovery(f"{bed.environment['COREOS_MACHINES_NET']}.1", service)
        thread = threading.Thread(target=front.serve_forever, daemon=True)
        thread.start()
        try:
            said = _run_script(bed, place, archive, front.url)
        finally:
            front.shutdown()
            front.server_close()
            thread.join()
        for number in range(1, COUNT + 1):
            assert front.asked[bed.address(number)] > DEAF
        yield BroughtUp(bed, said, place / "cloud-config.yml", archive)
    finally:
        bed.close()


def _run_script(bed: Bed, place: Path, archive: Path, discovery: str) -> str:
    environment = bed.environment | {
        "PATH": f"{TOP / 'dist' / 'bin'}:{os.environ['PATH']}",
        "ARCHIVE": str(archive),
        "TEMPLATE": str(place / "template"),
        "DISCOVERY": discovery,
        "UPDATE_CHANNEL": "beta",
    }
    done = subprocess.run(
        [str(EXAMPLE / "bring-up.sh"), str(place)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=2000,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def test_the_script_gets_its_cluster(brought_up: BroughtUp):
    steps = dict(re.findall(r"^==> (.*)\n([^=]*(?:=(?!=>)[^=]*)*)", brought_up.said, re.MULTILINE))
    token, machines, etcd, fleet, later, again = (
        next(text for title, text in steps.items() if word in title)
        for word in ("token", "machines", "etcd", "fleet", "later", "lost its disk")
    )
    assert "no token yet (try 2)" in token
    addresses = sorted(brought_up.bed.address(number) for number in range(1, COUNT + 1))
    assert machines.startswith("MACHINE\t\tIP\t\tMETADATA\n")
    assert sorted(re.findall(r"\t([\d.]+)\trole=worker", machines)) == addresses
    assert etcd.count("is healthy: got healthy result from http://") >= COUNT
    assert f"hello from {COUNT} machines" in etcd
    for number in range(1, COUNT + 1):
        assert f"app@{number}.service\tactive\trunning\n" in fleet
    assert f"app 1: hello from {COUNT} machines\n" in later
    assert "One of a cluster; its address is 198." in later
    assert "Available: 2\nMax: 2\n" in later
    assert "CURRENT_OP=UPDATE_STATUS_IDLE\n" in later
    assert again.endswith(f"cluster is healthy\nhello from {COUNT} machines\n\n")


def test_forms_that_scripts_use(brought_up: BroughtUp):
    script = "".join(
        FORM.format(line=line, number=number) for number, line in enumerate(FORMS.splitlines())
    )
    put = f"cat >/tmp/vagrantfile-user-data <<'EOF'\n{VAGRANT}EOF\n"
    assert brought_up.bed.run(1, "bash", "-c", f"{INDEX}{PATIENT}{put}{script}exit 0") == ""
    written = brought_up.bed.run(1, "cat", "/etc/vagrant-was-here")
    assert written.strip() == brought_up.bed.address(1)


def _running(bed: Bed, number: int) -> str:
    """Who runs on the machine, so that a restart of anything shows."""
    units = ("etcd2", "fleet", "user-configdrive", "update-engine", "ssh")
    words = ("systemctl", "show", "-P", "InvocationID", *units)
    return bed.run(number, "cat", "/etc/machine-id") + bed.run(number, *words)


def member_list(bed: Bed) -> list[str]:
    """The members, whoever leads."""
    text = bed.insist(1, "etcdctl", "member", "list")
    return sorted(text.replace("true", "false").split("\n"))


def test_again(brought_up: BroughtUp):
    bed = brought_up.bed

    def up() -> str:
        return bed.up(brought_up.user_data, count=COUNT, archive=brought_up.archive)

    before = [_running(bed, number) for number in (1, 2, 3)]
    members = member_list(bed)
    listing = up()
    assert [_running(bed, number) for number in (1, 2, 3)] == before

    # What coreos-install leaves counts at the boot, beside the config drive.
    put = "mkdir -p /var/lib/coreos-install; cat >/var/lib/coreos-install/user_data"
    bed.run(3, "bash", "-c", f"{put} <<'EOF'\n{INSTALLED}EOF\nsync")
    bed.cut_power(3)
    assert up() == listing
    assert bed.run(3, "systemctl", "is-active", "user-config.target") == "active\n"
    assert bed.run(3, "cat", "/etc/install-was-here").strip() == f"at {bed.address(3)}"
    after = [_running(bed, number) for number in (1, 2, 3)]
    assert after[:2] == before[:2]
    assert after[2].split()[0] == before[2].split()[0]
    assert after[2] != before[2]
    within(PATIENCE_S, lambda: "cluster is healthy" in bed.run(1, "etcdctl", "cluster-health"))
    assert member_list(bed) == members
