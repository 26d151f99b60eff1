"""A unit's lines in systemd's journal, read with journalctl as fleetctl 1.0.0 does it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from coreos_py.systemd.manager import LogLine, UnitManagerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LINE_BYTES_MAX = 4 << 20


async def read(unit: str, *, lines: int, user: bool) -> list[LogLine]:
    """The last lines, all when negative."""
    return [line async for line in _lines(unit, [], lines=lines, user=user)]


async def follow(unit: str, *, lines: int, user: bool) -> AsyncIterator[LogLine]:
    """The last lines, then new ones."""
    async for line in _lines(unit, ["--follow"], lines=lines, user=user):
        yield line


async def _lines(
    unit: str, options: list[str], *, lines: int, user: bool
) -> AsyncIterator[LogLine]:
    which = f"--user-unit={unit}" if user else f"--unit={unit}"
    count = "all" if lines < 0 else str(lines)
    argv = ["journalctl", which, "--no-pager", "--output=json", f"--lines={count}", *options]
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LINE_BYTES_MAX,
        )
    except OSError as error:
        raise UnitManagerError(unit, f"cannot run journalctl: {error.strerror}") from None
    try:
        assert process.stdout is not None
        while raw := await process.stdout.readline():
            line = parse(raw)
            if line is not None:
                yield line
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def parse(raw: bytes) -> LogLine | None:
    """One line of `journalctl -o json`; None for one that holds no message."""
    try:
        fields = json.loads(raw)
        at = int(fields["__REALTIME_TIMESTAMP"])
        text = _text(fields["MESSAGE"])
    except (ValueError, KeyError, TypeError):
        return None
    ident = _text(fields.get("SYSLOG_IDENTIFIER") or fields.get("_COMM") or "unknown")
    pid = str(fields.get("_PID") or fields.get("SYSLOG_PID") or 0)
    return LogLine(at, ident, int(pid) if pid.isdigit() else 0, text)


def _text(value: Any) -> str:
    """Bytes that are no text come as a list of numbers, a repeated field as a list of values."""
    if isinstance(value, list):
        if value and not isinstance(value[0], int):
            return _text(value[0])
        return bytes(value).decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        raise TypeError("not text")
    return value
