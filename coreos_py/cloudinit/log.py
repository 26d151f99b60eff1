"""Log lines on standard error as Go's log package writes them; people grep them in journals."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Log = Callable[[str], None]


def log(text: str) -> None:
    """One line, or the first of several, with the local time; safe to call from threads."""
    stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime())
    end = "" if text.endswith("\n") else "\n"
    sys.stderr.write(f"{stamp} {text}{end}")
    sys.stderr.flush()
