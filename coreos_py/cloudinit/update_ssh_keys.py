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

_OPPOSITES = (("a", "A"), ("d", "D"))


def run(call: Call) -> int:
    """Add a set, take one away, list them, as was asked; then write authorized_keys anew."""
    flags = call.flags
    for one, other in _OPPOSITES:
        if flags.given(one) and flags.given(other):
            raise UsageError(f"-{one} and -{other} cannot be combined")
    data = _input(call.args) if flags.given("a") or flags.given("A") else b""
    account = account_of(flags["u"] or _default_user())
    become(account)
    try:
        sets = KeySets(account, program=sys.argv[0], say=_say)
        sets.prepare()
        _change(sets, flags, data)
        if flags["l"]:
            sets.show()
        sets.regenerate()
    except OSError as error:
        raise KeysError(f"{error.filename}: {error.strerror}") from None
    return 0


def _change(sets: KeySets, flags: Values, data: bytes) -> None:
    if flags.given("a"):
        sets.add(flags["a"], data, force=False, replace=not flags["n"])
    elif flags.given("A"):
        sets.add(flags["A"], data, force=True, replace=not flags["n"])
    if flags.given("d"):
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
