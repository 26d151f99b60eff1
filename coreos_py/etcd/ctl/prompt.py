"""Asking for a password: shown on stdout, read from stdin without echo.

etcdctl 2.3.8 reads stdin and not the terminal behind it, so that scripts can pipe a password in.
"""

from __future__ import annotations

import os
import sys

from coreos_py.base.errors import CoreosError

_STDIN = 0


def ask_password(prompt: str) -> str:
    """The next line of stdin without the space around it; "" at its end."""
    try:
        line = _read_unseen(prompt) if os.isatty(_STDIN) else _read_line(prompt)
    except OSError as err:
        raise CoreosError(f"failed during password entry: {err.strerror}") from None
    finally:
        print(flush=True)
    return line.decode("utf-8", "surrogateescape").strip()


def _read_unseen(prompt: str) -> bytes:
    import termios

    before = termios.tcgetattr(_STDIN)
    silent = termios.tcgetattr(_STDIN)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(_STDIN, termios.TCSADRAIN, silent)
    try:
        return _read_line(prompt)  # asks only now: who types at once is not shown either
    finally:
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)


def _read_line(prompt: str) -> bytes:
    """Byte by byte: what follows belongs to somebody else."""
    print(prompt, end="", flush=True)
    line = bytearray()
    while (byte := os.read(_STDIN, 1)) not in (b"", b"\n"):
        line += byte
    sys.stdout.flush()
    return bytes(line)
