"""Links that carry nothing in one direction: what clients saw has an order, and writes go on.

A route that swallows packets on one side makes a connection that neither side sees broken: bytes
still arrive, but their receipts do not. Every fault is judged by the recorded history, by the time
in which a majority takes writes again, and by all members agreeing once it is over.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.proc.test_linearizable import judge
from tests.support import netns
from tests.support.procs import EtcdCluster, EtcdProcess, command, eventually
from tests.support.recorder import Recorder

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(bool(netns.why_not()), reason=netns.why_not()),
]

SIZE = 3
FLAGS = ["--heartbeat-interval=50", "--election-timeout=300", "--snapshot-count=500"]
KNOWN_MIN = 200
LASTS_S = 1.0  # of a fault, once what must happen has happened


class Place(NamedTuple):
    """Numbers of the members by what they are when the fault begins."""

    leader: int
    other: int
    third: int


class Fault(NamedTuple):
    inject: Callable[[netns.Net, Place], None]
    deposes: bool = False  # the leader cannot go on
    serves: bool = True  # a majority is left


def deaf_leader(net: netns.Net, at: Place) -> None:
    net.cut(at.other, at.leader)
    net.cut(at.third, at.leader)


def mute_leader(net: netns.Net, at: Place) -> None:
    net.cut(at.leader, at.other)
    net.cut(at.leader, at.third)


def mute_follower(net: netns.Net, at: Place) -> None:
    net.cut(at.other, at.leader, how="prohibit")


def deaf_follower(net: netns.Net, at: Place) -> None:
    net.cut(at.leader, at.other, how="prohibit")


def chain(net: netns.Net, at: Place) -> None:
    """Leader and one follower are apart, the third member reaches both."""
    net.cut(at.leader, at.other)
    net.cut(at.other, at.leader)


def ring(net: netns.Net, at: Place) -> None:
    """Each can send to the next one only, so that no two can talk."""
    for sender, receiver in ((1, 0), (2, 1), (0, 2)):
        net.cut(at[sender], at[receiver])


FAULTS = {
    "deaf leader": Fault(deaf_leader, deposes=True),
    "mute leader": Fault(mute_leader, deposes=True),
    "mute follower": Fault(mute_follower),
    "deaf follower": Fault(deaf_follower),
    "chain": Fault(chain),
    "ring": Fault(ring, serves=False),
}


@pytest.fixture(scope="module")
def net() -> Iterator[netns.Net]:
    with netns.Net(SIZE) as made, made.clients():
        yield made


@pytest.fixture(scope="module")
def cluster(net: netns.Net, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    found = EtcdCluster(tmp_path_factory.mktemp("netns"), SIZE)
    initial = ",".join(f"m{i}=http://{net.address(i)}:2380" for i in range(SIZE))
    found.members = [
        EtcdProcess(
            f"m{i}",
            found.members[i].directory,
            client_port=2379,
            peer_port=2380,
            initial_cluster=initial,
            flags=FLAGS,
            argv=net.hosts[i].words(*command("etcd")),
            host=net.address(i),
        )
        for i in range(SIZE)
    ]
    with found:
        yield found


def takes_writes(members: list[EtcdProcess]) -> bool:
    """Whether one of these members acknowledges a write now."""
    for member in members:
        with contextlib.suppress(OSError):
            if member.put("/alive", "1", timeout_s=2).status < 300:
                return True
    return False


def all_take_writes(members: list[EtcdProcess]) -> bool:
    return all(member.put("/alive", "1", timeout_s=2).status < 300 for member in members)


def no_writes(members: list[EtcdProcess]) -> bool:
    """Whether none of these members acknowledges a write."""
    return not takes_writes(members)


def same_contents(members: list[EtcdProcess]) -> bool:
    query = "recursive=true&sorted=true&quorum=true"
    return len({member.get("/", query).body for member in members}) == 1


def is_deposed(member: EtcdProcess) -> bool:
    return not member.is_leader()


def recording(cluster: EtcdCluster, rng: random.Random, *, prefix: str) -> Recorder:
    urls = [member.client_url for member in cluster.members]
    recorder = Recorder(urls, rng=rng, per_member=2, keys=5, prefix=prefix)
    recorder.start()
    return recorder


def place(cluster: EtcdCluster) -> Place:
    leader = cluster.members.index(cluster.leader())
    other, third = (number for number in range(SIZE) if number != leader)
    return Place(leader, other, third)


@pytest.mark.parametrize("name", list(FAULTS))
def test_history_under_one_way_partitions_is_linearizable(
    cluster: EtcdCluster, net: netns.Net, rng: random.Random, tmp_path: Path, name: str
):
    fault, members = FAULTS[name], cluster.members
    eventually(partial(all_take_writes, members), logs=members)
    recorder = recording(cluster, rng, prefix=name.replace(" ", "-"))
    try:
        eventually(lambda: recorder.known >= KNOWN_MIN)
        at = place(cluster)
        fault.inject(net, at)
        majority = [members[number] for number in (at.other, at.third)]
        if fault.deposes:
            eventually(partial(is_deposed, members[at.leader]), logs=members)
            eventually(partial(takes_writes, majority), logs=members)
        elif fault.serves:
            eventually(partial(takes_writes, members), logs=members)
        else:
            eventually(partial(no_writes, members), logs=members)
        time.sleep(LASTS_S)
        net.heal()
        eventually(partial(all_take_writes, members), logs=members)
        healed = recorder.known
        eventually(lambda: recorder.known >= healed + KNOWN_MIN)
    finally:
        net.heal()
        ops = recorder.stop()
    wrong = judge(ops)
    assert not wrong, wrong[:5]
    eventually(partial(same_contents, members), logs=members)
    for member in members:
        assert "Traceback" not in member.log_text(whole=True)


def test_a_leader_that_is_paused_while_nobody_reaches_it(
    cluster: EtcdCluster, net: netns.Net, rng: random.Random
):
    """It wakes up believing that it leads, and must not say so to anybody who asks for certain."""
    members = cluster.members
    eventually(partial(all_take_writes, members), logs=members)
    recorder = recording(cluster, rng, prefix="paused")
    at = place(cluster)
    leader, majority = members[at.leader], [members[at.other], members[at.third]]
    try:
        deaf_leader(net, at)
        leader.pause()
        eventually(partial(takes_writes, majority), logs=majority)
        leader.resume()
        eventually(partial(is_deposed, leader), logs=members)
        net.heal()
        eventually(partial(all_take_writes, members), logs=members)
    finally:
        leader.resume()
        net.heal()
        ops = recorder.stop()
    wrong = judge(ops)
    assert not wrong, wrong[:5]
    eventually(partial(same_contents, members), logs=members)
