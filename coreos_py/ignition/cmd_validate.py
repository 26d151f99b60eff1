"""The `ignition-validate` command: says what is wrong with a config, and exits 1 if it is unusable.

Prints what Ignition 2.14 prints for configs of version 3, and what 0.35 prints for older ones.
"""

from __future__ import annotations

import sys

from coreos_py.cli.grammar import GO, FlagError
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import BOOL, Setting
from coreos_py.ignition import config

VERSION = "2.14.0"
BYTES_MAX = 64 << 20


class Validate(Program):
    """The command line: exactly one file."""

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        print(err, file=sys.stderr)
        print(self.help_text(call), file=sys.stderr)
        return 2

    def on_version(self, call: Call) -> int:
        print(f"Ignition {VERSION}")
        return 0


PROGRAM = Validate(
    "ignition-validate",
    GO,
    settings=(Setting("version", BOOL, help="print the version and exit"),),
    target="coreos_py.ignition.cmd_validate:validate",
    args="FILE|-",
    version=VERSION,
    help="checks an Ignition config",
    about="Reads FILE, or standard input for -. Every version is understood: 1, 2.0.0 to 2.4.0\n"
    "and 3.0.0 to 3.6.0.\n",
)


def main(argv: list[str]) -> int:
    """Check one config."""
    return PROGRAM.run(argv)


def validate(call: Call) -> int:
    """Print the report; the exit status."""
    if len(call.args) != 1:
        print(PROGRAM.help_text(call), file=sys.stderr)
        return 1
    try:
        data = read(call.args[0])
    except OSError as error:
        print(f"couldn't read config: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    parsed = config.parse(data)
    for line in show(parsed, data):
        print(line)
    if parsed.config is None and not parsed.report.fatal:
        print(f"couldn't parse config: {parsed.problem}", file=sys.stderr)
    return int(parsed.config is None)


def read(path: str) -> bytes:
    """The bytes of a file, or of standard input for "-"; OSError."""
    if path == "-":
        data = sys.stdin.buffer.read(BYTES_MAX + 1)
    else:
        with open(path, "rb") as file:
            data = file.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise OSError(27, f"larger than {BYTES_MAX} bytes", path)
    return data


def show(parsed: config.Parsed, data: bytes) -> list[str]:
    """The report in the shape of the programs for this version."""
    text = data.decode("utf-8", "replace")
    is_old = parsed.version is not None and parsed.version[0] < 3
    return parsed.report.excerpts(text) if is_old else parsed.report.lines(text)
