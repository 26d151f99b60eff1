"""Our etcdctl on our etcd says what etcdctl 2.3.8 says on etcd 2.3.8."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.etcdctl import Cluster, run_session
from tests.support.procs import EtcdCluster

SESSIONS = sorted((Path(__file__).parents[1] / "data" / "etcdctl").glob("*.json"))

pytestmark = pytest.mark.proc


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_session(session, tmp_path):
    with EtcdCluster(tmp_path, 1) as etcd:
        member = etcd.members[0]
        cluster = Cluster(
            member.client_url.removeprefix("http://"), member.peer_url.removeprefix("http://")
        )
        run_session(session, cluster)
