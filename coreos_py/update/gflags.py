"""What programs with gflags say about flags they do not know."""

from __future__ import annotations

import sys

from coreos_py.cli.grammar import NO_ARGUMENT, UNDEFINED
from coreos_py.cli.program import Call, Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.grammar import FlagError


class Gflags(Program):
    """A program of gflags' kind: `-x`, `--x`, `-x=v`; usage errors end with 1."""

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        text = str(err)
        if err.reason == UNDEFINED:
            text = f"unknown command line flag '{err.flag}'"
        elif err.reason == NO_ARGUMENT:
            text = f"flag '{err.flag}' is missing its argument"
        sys.stderr.write(f"ERROR: {text}\n")
        return 1
