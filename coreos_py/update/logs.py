"""Log lines in glog's shape, which update_engine's readers know.

I20261121 03:02:47.812405 16 engine.py:42] text
"""

from __future__ import annotations

import logging
import time

_LETTERS = {logging.CRITICAL: "F", logging.ERROR: "E", logging.WARNING: "W"}


class GlogFormatter(logging.Formatter):
    """One record is one line."""

    def format(self, record: logging.LogRecord) -> str:
        whole, micros = divmod(int(record.created * 1_000_000), 1_000_000)
        stamp = time.strftime("%Y%m%d %H:%M:%S", time.localtime(whole))
        letter = _LETTERS.get(record.levelno, "I")
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text = f"{text}: {self.formatException(record.exc_info)}"
        text = " ".join(text.splitlines()) if "\n" in text or "\r" in text else text
        where = f"{record.process} {record.filename}:{record.lineno}"
        return f"{letter}{stamp}.{micros:06d} {where}] {text}"
