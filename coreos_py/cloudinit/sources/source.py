"""What a data source is, and the choice among several.

Mirrors datasource/datasource.go and selectDatasource of coreos-cloudinit 1.13.0.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Protocol

from coreos_py.cloudinit import gotext
from coreos_py.cloudinit.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coreos_py.cloudinit.log import Log

FIRST_PAUSE_S = 0.1
PAUSE_MAX_S = 30.0
TIMEOUT_S = 300.0
FILE_BYTES_MAX = 16 << 20


class SourceError(Exception):
    """A source could not be read; the message says why."""


class Source(Protocol):
    """Where user-data and metadata come from. Calls block."""

    type: str
    may_appear: bool  # worth another look when it is not there yet

    def is_available(self) -> bool:
        """True when the source is there."""

    def user_data(self) -> bytes:
        """The user-data as it is; SourceError or FetchError."""

    def metadata(self) -> Metadata:
        """What is known about the machine; SourceError, FetchError or MetadataError."""


class NoMetadata:
    """For sources that know nothing about the machine."""

    def metadata(self) -> Metadata:
        """Nothing."""
        return Metadata()


def read_file(path: str) -> bytes:
    """A file's bytes, bounded; SourceError in Go's words."""
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        what = "read" if isinstance(error, IsADirectoryError) else "open"
        raise SourceError(f"{what} {path}: {go_reason(error)}") from None
    except ValueError:
        raise SourceError(f"open {path}: invalid argument") from None
    if len(data) > FILE_BYTES_MAX:
        raise SourceError(f"{path}: more than {FILE_BYTES_MAX >> 20} MiB")
    return data


def read_if_there(path: str, log: Log) -> bytes:
    """The same, empty when there is no such file."""
    log(f"Attempting to read from {gotext.quote(path)}")
    try:
        return read_file(path)
    except SourceError as error:
        if str(error).endswith("no such file or directory"):
            return b""
        raise


def go_reason(error: OSError) -> str:
    """An errno's text as Go has it."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def select(sources: Sequence[Source], log: Log, *, timeout_s: float = TIMEOUT_S) -> Source | None:
    """The first source that turns out to be there; None when all gave up or time is over."""
    found: queue.SimpleQueue[Source | None] = queue.SimpleQueue()
    stop = threading.Event()
    for source in sources:
        arguments = (source, log, found, stop)
        threading.Thread(target=_watch, args=arguments, daemon=True).start()
    deadline = time.monotonic() + timeout_s
    try:
        for _ in sources:
            chosen = found.get(timeout=max(deadline - time.monotonic(), 0.0))
            if chosen is not None:
                return chosen
    except queue.Empty:
        return None
    finally:
        stop.set()
    return None


def _watch(
    source: Source, log: Log, found: queue.SimpleQueue[Source | None], stop: threading.Event
) -> None:
    pause_s = FIRST_PAUSE_S
    while True:
        log(f"Checking availability of {gotext.quote(source.type)}")
        if source.is_available():
            found.put(source)
            return
        if not source.may_appear:
            found.put(None)
            return
        if stop.wait(pause_s):
            return
        pause_s = min(pause_s * 2, PAUSE_MAX_S)
