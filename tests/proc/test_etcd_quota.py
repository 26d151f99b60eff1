"""A member with a quota refuses what is too much, cleanly, and recovers."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.procs import EtcdCluster, command, environment, eventually

pytestmark = pytest.mark.proc


def test_a_full_store_refuses_and_recovers(tmp_path):
    with EtcdCluster(tmp_path, 1, flags=["--quota-backend-bytes=100000"]) as cluster:
        member = cluster.members[0]
        for number in range(9):
            assert member.put(f"/k{number}", "x" * 10_000).status == 201
        for method in ("PUT", "POST"):
            reply = member.request(method, "/v2/keys/more", body={"value": "x" * 10_000})
            assert (reply.status, reply.json()["errorCode"]) == (403, 111)
            assert " of 100000 bytes are used" in reply.json()["cause"]
        done = subprocess.run(
            [*command("etcdctl"), "--endpoints", member.client_url, "set", "/more", "x" * 10_000],
            env=environment(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 4
        assert done.stderr.startswith("Error:  111: The quota of the store is used up (")
        assert member.put("/k1", "y").status == 200
        assert member.request("DELETE", "/v2/keys/k2").status == 200
        eventually(lambda: member.put("/more", "x" * 10_000).status == 201)
        member.restart()
        member.wait_ready()
        assert member.put("/more2", "x" * 50_000).status == 403
