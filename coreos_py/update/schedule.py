"""When update_engine looks for updates by itself. Pure; mirrors update_check_scheduler.cc."""

from __future__ import annotations

from coreos_py.update.attempt import Random

FIRST_S = 7 * 60
PERIOD_S = 45 * 60
FUZZ_S = 10 * 60
BACKOFF_MAX_S = 4 * 3600
OVERLOADED = (500, 503)


class Schedule:
    """The time until the next check."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._last_s = FIRST_S

    def first(self) -> float:
        """Seconds from the start to the first check."""
        return self._fuzzed(FIRST_S, FUZZ_S)

    def next(self, *, poll_interval_s: int, http_status: int) -> float:
        """Seconds to the next check: what the server said, or longer when it is overloaded."""
        interval, fuzz = 0, 0
        if poll_interval_s > 0:
            interval = poll_interval_s
        elif http_status in OVERLOADED:
            interval = 2 * self._last_s
        interval = min(interval, BACKOFF_MAX_S)
        if interval < PERIOD_S:
            interval, fuzz = PERIOD_S, FUZZ_S
        return self._fuzzed(interval, fuzz or interval)

    def _fuzzed(self, interval: int, fuzz: int) -> float:
        self._last_s = interval
        return max(0.0, interval + self._rng.uniform(-fuzz / 2, fuzz / 2))
