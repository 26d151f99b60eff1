"""Our etcdctl on Debian's etcd 3.4 (v2 enabled) says what etcdctl 2.3.8 says on etcd 2.3.8."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.etcdctl import Cluster, run_session
from tests.support.procs import Process, eventually, free_ports, http_request

SESSIONS = sorted((Path(__file__).parents[1] / "data" / "etcdctl").glob("*.json"))
ETCD = os.environ.get("REAL_ETCD") or shutil.which("etcd")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(ETCD is None, reason="Debian's etcd-server is missing"),
]


@pytest.fixture
def cluster(tmp_path):
    """One member of the other project's etcd."""
    client, peer = (f"127.0.0.1:{port}" for port in free_ports(2))
    words = [
        "--name=m0",
        f"--data-dir={tmp_path}/data",
        f"--listen-client-urls=http://{client}",
        f"--advertise-client-urls=http://{client}",
        f"--listen-peer-urls=http://{peer}",
        f"--initial-advertise-peer-urls=http://{peer}",
        f"--initial-cluster=m0=http://{peer}",
    ]
    if "REAL_ETCD" not in os.environ:
        words.append("--enable-v2")
    member = Process("etcd", [ETCD, *words], log_path=tmp_path / "etcd.log")
    member.start()

    def ready():
        # The third write of a fresh member is the cluster version; sessions count from there.
        return http_request("GET", f"http://{client}/v2/keys").etcd_index == 3

    try:
        eventually(ready, logs=[member])
        yield Cluster(client, peer)
    finally:
        member.close()


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_session(session, cluster, rewrite):
    run_session(session, cluster, rewrite=rewrite)
