"""The examples that retell talks about CoreOS: each as its README says, on its own machines."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support import machines as support
from tests.support import talks
from tests.support.machines import Bed

TOP = Path(__file__).resolve().parents[2]
EXAMPLES = TOP / "packaging" / "examples"
PATTERNS = TOP / "tests" / "data" / "talks"
TALKS = sorted(path.name for path in EXAMPLES.glob("talk-*"))

pytestmark = [pytest.mark.machine, pytest.mark.timeout(3000)]


def commands(talk: str) -> list[str]:
    """What its README tells to run, in order, from the top of the checkout."""
    readme = (EXAMPLES / talk / "README.md").read_text()
    return re.findall(r"^    (packaging/\S.*)$", readme, re.MULTILINE)


def machines_of(bed: Bed) -> list[talks.Machine]:
    home = Path(bed.environment["COREOS_MACHINES_DIR"])
    found = sorted(int(path.name) for path in home.iterdir() if path.name.isdigit())
    ids = {n: (home / f"{n}/root/etc/machine-id").read_text().strip() for n in found}
    return [talks.Machine(ids[n], bed.address(n), f"core-{n:02}") for n in found]


@pytest.mark.parametrize("talk", TALKS)
def test_what_the_talk_shows(talk: str, tmp_path: Path):
    if reason := support.why_not():
        pytest.skip(reason)
    assert (TOP / "dist" / "coreos.pyz").exists(), "packaging/build.sh makes the archive"
    up, walk, down = commands(talk)
    bed = Bed(tmp_path / "m")
    try:
        said = {}
        for command in (up, walk):
            done = subprocess.run(
                command.split(),
                cwd=TOP,
                env=bed.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=1400,
                check=False,
            )
            assert done.returncode == 0, done.stdout
            said[command] = done.stdout
        talks.check(said[walk], (PATTERNS / f"{talk}.txt").read_text(), machines_of(bed))
        assert down == "packaging/machines/down.sh"
    finally:
        bed.close()
    for line in re.findall(r'^\{"name": .*', said[walk], re.MULTILINE):
        assert json.loads(line)["user_data"] == (EXAMPLES / talk / "user-data").read_text()


def test_every_talk_is_there():
    assert sorted(path.stem for path in PATTERNS.glob("*.txt")) == TALKS
    assert len(TALKS) == 5
