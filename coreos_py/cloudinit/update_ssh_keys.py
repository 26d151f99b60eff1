"""update-ssh-keys: the command line of ssh_keys.py, and the run."""

from __future__ import annotations

import os
import sys

from coreos_py.base.errors import UsageError
from coreos_py.cloudinit.ssh_keys import KeysError, KeySets, account_of, become

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call
    from coreos_py.cli.settings import Values

_ACTIONS = ("a", "A", "d", "D", "l")


def run(call: Call) -> int:
    """Do the one thing asked for, then write authorized_keys anew."""
    flags = call.flags
    chosen = [name for name in _ACTIONS if flags.given(name)]
    if len(chosen) > 1:
        raise UsageError(f"-{chosen[0]} and -{chosen[1]} cannot be combined")
    data = _input(call.args) if chosen and chosen[0] in "aA" else b""
    account = account_of(flags["u"] or _default_user())
    become(account)
    try:
        sets = KeySets(account, program=sys.argv[0], say=_say)
        sets.prepare()
        if flags["l"]:
            sets.show()
            return 0
        _change(sets, flags, data)
        sets.regenerate()
    except OSError as error:
        raise KeysError(f"{error.filename}: {error.strerror}") from None
    return 0


def _change(sets: KeySets, flags: Values, data: bytes) -> None:
    if flags.given("a"):
        sets.add(flags["a"], data, force=False, replace=not flags["n"])
    elif flags.given("A"):
        sets.add(flags["A"], data, force=True, replace=not flags["n"])
    elif flags.given("d"):
        sets.delete(flags["d"])
    elif flags.given("D"):
        sets.disable(flags["D"])


def _input(paths: list[str]) -> bytes:
    if not paths:
        return sys.stdin.buffer.read()
    pieces = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                pieces.append(file.read())
        except OSError as error:
            raise KeysError(f"{path}: {error.strerror}") from None
    return b"".join(pieces)


def _default_user() -> str:
    name = os.environ.get("USER", "")
    return "core" if name in ("", "root") else name


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
