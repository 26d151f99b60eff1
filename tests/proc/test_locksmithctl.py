"""locksmithctl on a real etcd says and stores what locksmithctl 0.6.2 does."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from coreos_py.base.tls import client_context
from tests.support.certs import etcd_flags, make_certs
from tests.support.procs import EtcdCluster, command, environment

pytestmark = pytest.mark.proc

PREFIX = "/coreos.com/updateengine/rebootlock"
KEY = f"{PREFIX}/semaphore"
FULL = "semaphore is at 0"


@pytest.fixture(scope="module")
def etcd(tmp_path_factory):
    with EtcdCluster(tmp_path_factory.mktemp("etcd"), 1) as cluster:
        yield cluster.members[0]


@pytest.fixture
def run(etcd):
    """Run locksmithctl on an etcd without a lock: (exit code, stdout, stderr)."""
    etcd.request("DELETE", f"/v2/keys{PREFIX}?recursive=true")

    def run(*words):
        done = subprocess.run(
            [*command("locksmithctl"), *words],
            capture_output=True,
            text=True,
            check=False,
            env=environment({"LOCKSMITHCTL_ENDPOINT": etcd.client_url}),
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_a_lock_from_the_first_look_to_the_last_holder(run, etcd):
    assert run("status") == (0, "Available: 1\nMax: 1\n", "")
    assert etcd.value(KEY) == '{"semaphore":1,"max":1,"holders":null}'
    assert run("lock", "b") == (0, "", "")
    assert run("lock", "b") == (1, "", f"Error locking: {FULL}\n")
    assert run("set-max", "3") == (0, "Old-Max: 1\nMax: 3\n", "")
    assert run("lock", "b") == (1, "", "Error locking: holder exists\n")
    assert run("lock", "a") == (0, "", "")
    assert etcd.value(KEY) == '{"semaphore":1,"max":3,"holders":["a","b"]}'
    assert run("set-max", "1") == (0, "Old-Max: 3\nMax: 1\n", "")
    assert run("status", "x") == (0, "Available: -1\nMax: 1\n\nMACHINE ID\na\nb\n", "")
    assert run("unlock", "a") == (0, "", "")
    assert run("unlock", "a") == (1, "", "Error unlocking: holder does not exist\n")
    assert run("unlock", "b") == (0, "", "")
    assert etcd.value(KEY) == '{"semaphore":1,"max":1,"holders":[]}'


def test_groups_have_their_own_locks(run, etcd):
    assert run("--group", "a b/c", "lock", "x") == (0, "", "")
    held = '{"semaphore":0,"max":1,"holders":["x"]}'
    assert etcd.value(f"{PREFIX}/groups/a+b%252Fc/semaphore") == held
    assert run("status") == (0, "Available: 1\nMax: 1\n", "")


def test_what_is_in_the_way_is_named(run, etcd):
    etcd.put(KEY, "not json")
    problem = "invalid character 'o' in literal null (expecting 'u')\n"
    assert run("lock", "a") == (1, "", f"Error locking: {problem}")
    assert run("status") == (1, "", f"Error setting value: {problem}")
    assert run("set-max", "2") == (1, "", f"Error setting value: {problem}")
    assert etcd.value(KEY) == "not json"


def test_many_at_once_get_every_place_and_no_more(run, etcd):
    assert run("set-max", "3")[0] == 0
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda name: run("lock", name), "abcdef"))
    refused = (1, "", f"Error locking: {FULL}\n")
    assert sorted(answers) == [(0, "", "")] * 3 + [refused] * 3
    assert run("status")[1].startswith("Available: 0\nMax: 3\n\nMACHINE ID\n")


def test_over_tls_with_a_client_certificate(tmp_path):
    certs = make_certs(tmp_path)
    pair = {"cert_file": certs.client_cert, "key_file": certs.client_key}
    context = client_context(ca_file=certs.ca, **pair)
    with EtcdCluster(tmp_path, 1, flags=etcd_flags(certs), scheme="https", tls=context) as cluster:
        url = cluster.members[0].client_url

        def run(*words, **env):
            done = subprocess.run(
                [*command("locksmithctl"), "--endpoint", url, *words],
                capture_output=True,
                text=True,
                check=False,
                env=environment(env),
                timeout=60,
            )
            return done.returncode, done.stdout, done.stderr

        files = {
            "LOCKSMITHCTL_ETCD_CAFILE": certs.ca,
            "LOCKSMITHCTL_ETCD_CERTFILE": certs.client_cert,
            "LOCKSMITHCTL_ETCD_KEYFILE": certs.client_key,
        }
        assert run("lock", "a", **files) == (0, "", "")
        assert run("status", **files)[1] == "Available: 0\nMax: 1\n\nMACHINE ID\na\n"
        refused = "Error initializing etcd client: client: etcd cluster is unavailable or"
        assert run("status") == (1, "", f"{refused} misconfigured\n")
