"""Stands behind the names of the table whose program comes with a later release."""

from __future__ import annotations

import os
import sys

from coreos_py import __version__


def main(argv: list[str]) -> int:
    """Say that this command is not here yet; always 1, so that no script takes it for success."""
    name = os.path.basename(argv[0])
    text = f"{name}: not part of coreos-py {__version__}; a later release completes it"
    print(text, file=sys.stderr)
    return 1
