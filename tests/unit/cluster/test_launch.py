"""Starting a local cluster: what is left when that fails."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from coreos_py.base.errors import ConfigError, CoreosError
from coreos_py.cluster import cmd_cluster, launch, programs


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, monkeypatch):
    home = tmp_path / "cluster"

    def copy(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", source)

    monkeypatch.setattr(programs, "own_archive", lambda: str(tmp_path / "coreos.pyz"))
    monkeypatch.setattr(programs.shutil, "copyfile", copy)
    with pytest.raises(ConfigError, match=f"cannot write to {home}: No space left on device"):
        launch.found(str(home), count=1, agent_ttl="6s", metadata=[])
    assert not home.exists()


def test_two_that_look_for_a_network_at_once_find_two(monkeypatch):
    """Neither has opened a port yet."""
    claims = []
    monkeypatch.setattr(launch, "_claims", claims)
    try:
        assert launch.free_network(1) != launch.free_network(1)
    finally:
        for claim in claims:
            claim.close()


@pytest.mark.parametrize("supervisor", [0, 4242])
def test_an_up_that_fails_says_what_is_left(tmp_path, monkeypatch, supervisor):
    ended = []

    def wait_healthy(*_args, **_options):
        raise CoreosError("etcd of machine1 is not healthy: no space")

    monkeypatch.setattr(
        cmd_cluster.launch, "found", lambda *_a, **_o: SimpleNamespace(machines=[1])
    )
    monkeypatch.setattr(cmd_cluster.launch, "clear_leftovers", lambda _directory: None)
    monkeypatch.setattr(cmd_cluster.launch, "start_supervisor", lambda _directory: None)
    monkeypatch.setattr(cmd_cluster.launch, "wait_healthy", wait_healthy)
    monkeypatch.setattr(cmd_cluster.state, "supervisor", lambda _directory: supervisor)
    monkeypatch.setattr(cmd_cluster, "_end", lambda _directory, *, keep: ended.append(keep))
    words = ["up", "-n", "1", f"--dir={tmp_path / 'cluster'}"]
    with pytest.raises(CoreosError, match="etcd of machine1 is not healthy: no space") as caught:
        cmd_cluster.cluster.main(words, standalone_mode=False)
    if supervisor:
        assert ended == []
        assert caught.value.hint.startswith("its machines were left as they are")
    else:
        assert ended == [True]
        assert caught.value.hint.startswith("nothing runs, state and logs are kept")
