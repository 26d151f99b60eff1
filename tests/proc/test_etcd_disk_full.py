"""A disk without room: the member says so and ends, and with room it has all it acknowledged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import small_disk
from tests.support.procs import EtcdProcess, command, eventually, free_ports

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(bool(small_disk.why_not()), reason=small_disk.why_not()),
]

ROOM_BYTES = 200_000
VALUE = "x" * 3000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[small_disk.SmallDisk]:
    with small_disk.SmallDisk(tmp_path, mebibytes=32) as made:
        yield made


@pytest.fixture(params=["10000", "20"], ids=["log", "snapshots"])
def member(
    disk: small_disk.SmallDisk, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[EtcdProcess]:
    client, peer = free_ports(2)
    found = EtcdProcess(
        "m0",
        disk.path,
        client_port=client,
        peer_port=peer,
        initial_cluster=f"m0=http://127.0.0.1:{peer}",
        flags=[f"--snapshot-count={request.param}"],
        argv=[*disk.words(), *command("etcd")],
    )
    found.log_path = tmp_path / "m0.log"
    found.cwd = tmp_path
    found.start()
    try:
        found.wait_ready()
        yield found
    finally:
        found.close()


def write_until_it_ends(member: EtcdProcess) -> list[int]:
    """Which of the keys were acknowledged before the member ended."""
    acknowledged = []
    for number in range(10_000):
        try:
            if member.put(f"/k{number}", VALUE).status == 201:
                acknowledged.append(number)
        except OSError:
            break
    return acknowledged


def test_a_full_disk_costs_nothing_that_was_acknowledged(
    disk: small_disk.SmallDisk, member: EtcdProcess
):
    disk.fill(leave_bytes=ROOM_BYTES)
    acknowledged = write_until_it_ends(member)
    assert acknowledged
    assert member.wait() == 1
    (line,) = re.findall(r".*no space left on device.*", member.log_text())
    assert " C | etcdserver: " in line
    assert "Traceback" not in member.log_text()

    disk.make_room()
    member.start()
    member.wait_ready()
    for number in acknowledged:
        assert member.value(f"/k{number}") == VALUE
    assert member.put("/after", "1").status == 201
    eventually(member.is_healthy, logs=[member])
