"""Beside Debian's Ignition 2.14: the same verdicts on the same configs of version 3."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from coreos_py.ignition import config

VALIDATE = shutil.which("ignition-validate")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(VALIDATE is None, reason="Debian's package ignition is missing"),
]

CASES = json.loads(
    (Path(__file__).parents[1] / "data" / "ignition" / "validate.json").read_text("utf-8")
)
_ENTRY = re.compile(r"(error|warning|info)(?: at [^:]*)?: (.*)")


def verdict(text):
    """Debian's: whether it accepts the config, and what it says about it."""
    done = subprocess.run(
        [VALIDATE, "-"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    entries = {_ENTRY.fullmatch(line).groups() for line in done.stdout.splitlines()}
    return done.returncode == 0, entries, done.stderr.strip()


def ours(text):
    found = config.parse(text.encode())
    entries = {(entry.kind, entry.message) for entry in found.report.entries}
    refusal = (
        "" if found.config or found.report.fatal else f"couldn't parse config: {found.problem}"
    )
    return found.config is not None, entries, refusal


def test_verdicts():
    version = subprocess.run(
        [VALIDATE, "-version"], capture_output=True, text=True, timeout=60, check=False
    )
    if "2.14" not in version.stdout:
        pytest.skip(f"rules change from version to version: {version.stdout.strip()}")
    texts = [case["text"] for case in CASES if '"version": "3.' in case["text"]]
    assert len(texts) > 80
    texts += [
        text.replace('"3.3.0"', '"3.4.0-experimental"') for text in texts if '"3.3.0"' in text
    ]
    differing = [text for text in texts if verdict(text) != ours(text)]
    assert differing == []
