"""Waiting inside an event loop for what has no event: nothing is asserted after a fixed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 60.0


async def until(condition: Callable[[], object], what: str) -> None:
    """Once `condition` is true; AssertionError when it does not come true in a minute."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.002)
