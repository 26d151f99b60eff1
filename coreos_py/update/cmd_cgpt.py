"""cgpt: show and change GUID partition tables."""

from __future__ import annotations

from coreos_py.update.cgpt.program import PROGRAM


def main(argv: list[str]) -> int:
    """Run cgpt."""
    return PROGRAM.run(argv)
