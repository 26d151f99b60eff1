"""Log lines in the shapes that other people's tools read, for daemons.

etcd 2.3:  2026-11-21 02:43:13.803618 I | etcdserver: text     (local time; levels C E W N I D)
fleet 1.0: INFO engine.py:42: text                             (no time, the journal adds it)

One record is one line: line breaks inside become spaces. The logger's name is the package that etcd
prints.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

NOTICE = 25
logging.addLevelName(NOTICE, "NOTICE")

_ETCD_LETTER = {
    logging.CRITICAL: "C",
    logging.ERROR: "E",
    logging.WARNING: "W",
    NOTICE: "N",
    logging.INFO: "I",
    logging.DEBUG: "D",
}
_FLEET_WORD = {logging.CRITICAL: "FATAL", logging.WARNING: "WARN", NOTICE: "INFO"}


class EtcdFormatter(logging.Formatter):
    """etcd 2.3's line."""

    def format(self, record: logging.LogRecord) -> str:
        whole, micros = divmod(int(record.created * 1_000_000), 1_000_000)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole))
        letter = _ETCD_LETTER.get(record.levelno, "I")
        return f"{stamp}.{micros:06d} {letter} | {record.name}: {_one_line(self, record)}"


class JournalFormatter(logging.Formatter):
    """etcd's line where the journal already knows time and level (parent is pid 1)."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.name}: {_one_line(self, record)}"


class FleetFormatter(logging.Formatter):
    """fleet 1.0's line."""

    def format(self, record: logging.LogRecord) -> str:
        word = _FLEET_WORD.get(record.levelno, record.levelname)
        return f"{word} {record.filename}:{record.lineno}: {_one_line(self, record)}"


def _one_line(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text = f"{text}: {formatter.formatException(record.exc_info)}"
    return " ".join(text.splitlines()) if "\n" in text or "\r" in text else text


def setup(
    formatter: logging.Formatter, *, level: int = logging.INFO, stream: TextIO | None = None
) -> None:
    """Send every logger's records to stderr in this shape; calling again replaces the first."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    logging.raiseExceptions = False  # a stderr that is gone must not end a daemon
