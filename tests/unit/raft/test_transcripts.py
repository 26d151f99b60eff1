"""Whole-cluster stories, told in tests/data/raft/*.txt."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.transcript import run_file
from tests.unit.raft.scripted import Cluster

FILES = sorted((Path(__file__).parents[2] / "data" / "raft").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path, rewrite):
    run_file(path, Cluster().execute, rewrite=rewrite)


def test_there_are_transcripts():
    assert len(FILES) >= 20
