"""What up.sh makes of user-data before machines see it, and what Ruby makes of it before that."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from coreos_py.cloudinit import config

MACHINES = Path(__file__).resolve().parents[3] / "packaging" / "machines"
URL = "http://192.0.2.1:8087/0123abcd"


def fill_in(path: Path, data: bytes) -> bytes:
    path.write_bytes(data)
    script = 'archive=x count=3; . "$1"; fill_in "$2" "$3"'
    words = ["sh", "-euc", script, "sh", str(MACHINES / "cloud.sh"), URL, str(path)]
    done = subprocess.run(words, capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout


HEAD = "#cloud-config\ncoreos:\n  etcd2:\n"
LINE = f"{HEAD}    discovery: "
BASH = "#!/bin/bash\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{LINE}DISCOVERY_URL\n", f"{LINE}{URL}\n"),
        (f'{LINE}"DISCOVERY_URL"\n', f'{LINE}"{URL}"\n'),
        (f"{LINE}{{DISCOVERY_TOKEN}}\n", f"{LINE}{URL}\n"),
        (f"{LINE}<token>\n", f"{LINE}{URL}\n"),
        (f"{LINE}https://d.test/<token>\n", f"{LINE}https://d.test/0123abcd\n"),
        (f"{LINE}https://discovery.etcd.io/<token>\n", f"{LINE}{URL}\n"),
        (f"{LINE}'https://discovery.etcd.io/6a28'\n", f"{LINE}'{URL}'\n"),
        # Somebody's own service, a static cluster, and no etcd at all.
        (f"{LINE}http://10.0.0.1/6a28\n", None),
        (f"{HEAD}    initial-cluster: a=http://10.0.0.1:2380\n", None),
        (f"{HEAD}    initial_cluster: a=http://10.0.0.1:2380\n", None),
        ("#cloud-config\nhostname: x\n", None),
        # A section that says nothing about its cluster.
        (f"{HEAD}    name: a\n", f"{LINE}{URL}\n    name: a\n"),
        (f"{HEAD}\n   # why\n   name: a\n", f"{HEAD}   discovery: {URL}\n\n   # why\n   name: a\n"),
        (
            "#cloud-config\r\ncoreos:\r\n etcd:\r\n  name: a\r\n",
            f"#cloud-config\r\ncoreos:\r\n etcd:\r\n  discovery: {URL}\r\n  name: a\r\n",
        ),
        ("#cloud-config\nother:\n  etcd2:\n    name: a\n", None),
        ("#cloud-config\ncoreos:\n  units:\n    - content: |\n        etcd2:\n", None),
        # Scripts have variables of this name.
        ("#!/bin/bash\nETCD_DISCOVERY_URL=x\necho ${DISCOVERY_URL} $DISCOVERY_URL\n", None),
        (f"{BASH} etcd -discovery DISCOVERY_URL &\n", f"{BASH} etcd -discovery {URL} &\n"),
    ],
)
def test_discovery(tmp_path: Path, before: str, after: str | None):
    filled = fill_in(tmp_path / "user-data", before.encode()).decode()
    assert filled == (before if after is None else after)


def test_what_is_not_text_stays(tmp_path: Path):
    data = b"\x1f\x8b\x08\x00DISCOVERY_URL\xff\n\x00<token>"
    assert fill_in(tmp_path / "user-data", data) == data


WRITTEN = """\
#cloud-config

coreos:
  update:
    reboot-strategy: off
  etcd2:
    # one for each cluster
    discovery: http://192.0.2.1/6a28
    listen-client-urls: "http://0.0.0.0:2379,http://0.0.0.0:4001"
  fleet:
    metadata: "role=worker,disk=ssd"
    public-ip: 10.0.0.1
  units:
    - name: flanneld.service
      drop-ins:
        - name: 50-network-config.conf
          content: |
            [Service]
            ExecStartPre=/usr/bin/etcdctl set /config '{ "Network": "10.1.0.0/16" }'
      command: start
    - name: etcd2.service
      command: start
      enable: true
write_files:
  - path: /etc/x
    permissions: "0644"
    content: |
      a: b

      c # d
"""
DUMPED = """\
#cloud-config

---
write_files:
- content: |
    a: b

    c # d
  path: "/etc/x"
  permissions: '0644'
coreos:
  units:
  - name: flanneld.service
    drop-ins:
    - name: 50-network-config.conf
      content: |
        [Service]
        ExecStartPre=/usr/bin/etcdctl set /config '{ "Network": "10.1.0.0/16" }'
    command: start
  - name: etcd2.service
    command: start
    enable: true
  fleet:
    public-ip: 10.0.0.1
    metadata: role=worker,disk=ssd
  etcd2:
    listen-client-urls: http://0.0.0.0:2379,http://0.0.0.0:4001
    discovery: http://192.0.2.1/6a28
  update:
    reboot-strategy: 'off'
"""


def test_ruby_changes_nothing_that_matters():
    assert config.from_texts([DUMPED.encode()]) == config.from_texts([WRITTEN.encode()])
