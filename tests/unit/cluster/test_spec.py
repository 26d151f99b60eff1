"""The description of a local cluster: addresses, metadata, what the daemons are told."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import ConfigError
from coreos_py.cluster import spec


def founded(count=3, metadata=()):
    return spec.found(
        count,
        network="127.17.8",
        machine_ids=[f"{n:032x}" for n in range(count)],
        token="t",
        agent_ttl="6s",
        metadata=list(metadata),
    )


def test_every_machine_knows_every_founding_member():
    cluster = founded()
    members = (
        "core-01=http://127.17.8.101:2380,core-02=http://127.17.8.102:2380,"
        "core-03=http://127.17.8.103:2380"
    )
    assert [machine.initial_cluster for machine in cluster.machines] == [members] * 3
    assert "--initial-cluster-state=new" in spec.etcd_arguments(
        cluster, cluster.machines[0], data_dir="/d"
    )


def test_a_machine_that_joins_lists_the_members_and_itself():
    grown = spec.joined(
        founded(1), machine_id="f" * 32, members={"core-01": ["http://127.17.8.101:2380"]}
    )
    added = grown.machines[-1]
    assert (added.number, added.ip, added.cluster_state) == (2, "127.17.8.102", "existing")
    assert added.initial_cluster == (
        "core-01=http://127.17.8.101:2380,core-02=http://127.17.8.102:2380"
    )


@pytest.mark.parametrize(
    ("words", "number", "expected"),
    [
        ([], 1, {"name": "core-01", "disk": "ssd"}),
        ([], 2, {"name": "core-02", "disk": "hdd"}),
        (["region=eu"], 2, {"name": "core-02", "disk": "hdd", "region": "eu"}),
        (["2:disk=nvme"], 2, {"name": "core-02", "disk": "nvme"}),
        (["2:disk=nvme"], 1, {"name": "core-01", "disk": "ssd"}),
        (["rack=a", "rack=b"], 1, {"name": "core-01", "disk": "ssd", "rack": "b"}),
    ],
)
def test_metadata(words, number, expected):
    assert spec.machine_metadata(number, words) == expected


@pytest.mark.parametrize("word", ["", "region", "=eu", "region=", "1:region", "a=b,c=d"])
def test_bad_metadata_is_named(word):
    with pytest.raises(ConfigError, match=f"metadata {word!r}"):
        spec.machine_metadata(1, [word])


@pytest.mark.parametrize("count", [0, -1, 65])
def test_bad_counts_are_named(count):
    with pytest.raises(ConfigError, match=f"not {count}$"):
        founded(count)


def test_the_description_survives_the_disk():
    cluster = founded(2, ["region=eu"])
    assert spec.from_json(spec.to_json(cluster)) == cluster


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"machines": [{}]}', '{"machines": 3}'])
def test_foreign_descriptions_are_refused(text):
    with pytest.raises(ConfigError, match="not a cluster description"):
        spec.from_json(text)


def test_an_unknown_machine_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="no machine 9") as caught:
        founded().machine(9)
    assert caught.value.hint == "machines: 1, 2, 3"


def test_clients_ask_the_own_member_first():
    cluster = founded()
    environment = spec.machine_environment(cluster, cluster.machines[1])
    assert environment["ETCDCTL_PEERS"].split(",")[0] == "http://127.17.8.102:2379"
    assert environment["COREOS_PUBLIC_IPV4"] == "127.17.8.102"
