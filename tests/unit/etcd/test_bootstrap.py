"""Starting over after a crash during the very first start, when nothing was promised yet."""

from __future__ import annotations

import asyncio

import pytest

from coreos_py.base.errors import CoreosError
from coreos_py.etcd import bootstrap, pb
from coreos_py.etcd.config import Config
from coreos_py.etcd.wal import WAL
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.raft.types import Role
from tests.support.waltools import FIRST_NAME, METADATA, record_starts

URL = "http://127.0.0.1:2380"
HEAD_RECORDS = 3


def config_in(directory, **changes) -> Config:
    config = Config(
        name="m0",
        data_dir=str(directory),
        initial_cluster=f"m0={URL}",
        advertise_peer_urls=(URL,),
        token="t",
        new_cluster=True,
    )
    return config._replace(**changes)


def start(config: Config, *, save: bool):
    """Start, save what the node asks for, and see whether it can be elected."""

    async def scenario():
        client = AsyncHTTPClient()
        started = await bootstrap.start(config, client)
        client.close()
        return started

    started = asyncio.run(scenario())
    node, wal = started.node, started.wal
    try:
        while save and node.has_ready():
            ready = node.ready()
            wal.save(ready.hard_state, ready.entries, sync=ready.must_sync)
            for entry in ready.committed:
                if entry.type:
                    node.apply_conf_change(pb.decode_conf_change(entry.data))
            node.advance(ready)
        node.campaign()
        return started.id, node.role
    finally:
        wal.abandon()


def head_size(data: bytes) -> int:
    return record_starts(data)[HEAD_RECORDS]


@pytest.fixture
def first_file(tmp_path):
    """The log of a member that was killed after its first start."""
    start(config_in(tmp_path / "whole"), save=True)
    return (tmp_path / "whole" / "member" / "wal" / FIRST_NAME).read_bytes()


def test_a_log_with_only_a_head_is_founded_again(tmp_path):
    config = config_in(tmp_path / "m0")
    number, _ = start(config, save=False)
    data = (tmp_path / "m0" / "member" / "wal" / FIRST_NAME).read_bytes()
    assert len(data) == head_size(data)
    assert start(config, save=True) == (number, Role.LEADER)
    assert start(config, save=True) == (number, Role.LEADER)


def test_the_first_save_may_be_cut_off_anywhere(tmp_path, first_file):
    """What made it to the disk of the first save is some prefix of it."""
    for size in range(head_size(first_file), len(first_file) + 1):
        directory = tmp_path / str(size) / "member" / "wal"
        directory.mkdir(parents=True)
        (directory / FIRST_NAME).write_bytes(first_file[:size])
        config = config_in(tmp_path / str(size))
        assert start(config, save=True)[1] == Role.LEADER, size
        assert start(config, save=True)[1] == Role.LEADER, size


@pytest.mark.parametrize("change", [{"token": "other"}, {"initial_cluster": f"m0={URL},m1={URL}1"}])
def test_what_was_begun_with_other_flags_is_refused_by_name(tmp_path, change):
    start(config_in(tmp_path), save=False)
    with pytest.raises(CoreosError, match=r"/wal: begun as member [0-9a-f]+ of cluster"):
        start(config_in(tmp_path, **change), save=True)


def test_a_newcomer_waits_for_the_leader_to_speak(tmp_path):
    """Its cluster exists; the log it has not got yet comes from the others."""
    directory = tmp_path / "member" / "wal"
    WAL.create(str(directory), METADATA).close()
    config = config_in(tmp_path, new_cluster=False)
    assert start(config, save=True)[1] == Role.FOLLOWER
