"""Founding a local cluster: what is left when that fails."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from coreos_py.base.errors import ConfigError
from coreos_py.cluster import launch, programs


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
