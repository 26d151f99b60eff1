"""coreos-cloudinit: the first-boot configuration of CoreOS. Thin: the run is in run.py."""

from __future__ import annotations

from coreos_py.cloudinit.program import PROGRAM


def main(argv: list[str]) -> int:
    """Configure the machine; the exit code is coreos-cloudinit 1.13.0's."""
    return PROGRAM.run(argv)
