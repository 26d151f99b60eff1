"""Run the new image's own program, /postinst, from the slot it was just written to. An edge.

Mirrors postinstall_runner_action.cc: the slot is mounted read-only for it, its environment is PATH,
LD_LIBRARY_PATH and the proxies, and its output goes to the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile

from coreos_py.omaha.codes import ErrorCode
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.slots import Slot

log = logging.getLogger(__name__)

BOOTED_FROM_FIRMWARE_B = 3
_KEPT = ("PATH", "LD_LIBRARY_PATH")
_LINES_MAX = 10_000
_LINE_MAX = 64 << 10


async def run(slot: Slot, words: list[str]) -> None:
    """Mount, run, unmount; PayloadError 5, or 19."""
    folder = tempfile.mkdtemp(prefix="au_postint_mount.")
    try:
        await _mount(slot, folder)
        try:
            code = await _execute([f"{folder}/postinst", slot.device, *words])
        finally:
            await _command("umount", folder)
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    if code == BOOTED_FROM_FIRMWARE_B:
        text = "postinst says that the firmware has to be changed by another boot first"
        raise PayloadError(ErrorCode.POSTINSTALL_BOOTED_FROM_FIRMWARE_B, text)
    if code:
        raise PayloadError(ErrorCode.POSTINSTALL_RUNNER_ERROR, f"postinst exit status {code}")
    log.info("Postinst command succeeded")


async def _mount(slot: Slot, folder: str) -> None:
    if slot.is_image:
        options = f"ro,loop,offset={slot.offset},sizelimit={slot.size}"
        done, text = await _command("mount", "-o", options, slot.disk, folder)
    else:
        done, text = await _command("mount", "-o", "ro", slot.device, folder)
    if done:
        text = f"cannot mount {slot.device}: {text.strip()}"
        raise PayloadError(ErrorCode.POSTINSTALL_RUNNER_ERROR, text)


async def _command(*words: str) -> tuple[int, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as err:
        return 1, f"{words[0]}: {err.strerror}"
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode("utf-8", "replace")


async def _execute(words: list[str]) -> int:
    """The exit status; every line of output is one of the log."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.lower().endswith("_proxy")
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd="/",
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except OSError as err:
        raise PayloadError(
            ErrorCode.POSTINSTALL_RUNNER_ERROR, f"cannot run {words[0]}: {err.strerror}"
        ) from None
    assert process.stdout is not None
    try:
        await _log_lines(process.stdout)
        return await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise


async def _log_lines(output: asyncio.StreamReader) -> None:
    """Whole lines, however they arrive; one without an end in pieces."""
    lines, rest = 0, b""
    while data := await output.read(_LINE_MAX):
        *whole, rest = (rest + data).split(b"\n")
        if len(rest) >= _LINE_MAX:
            whole, rest = [*whole, rest], b""
        for line in whole[: max(0, _LINES_MAX - lines)]:
            _log_line(line)
        lines += len(whole)
    if rest and lines < _LINES_MAX:
        _log_line(rest)


def _log_line(line: bytes) -> None:
    log.info("postinst: %s", line.decode("utf-8", "replace").rstrip("\r"))
