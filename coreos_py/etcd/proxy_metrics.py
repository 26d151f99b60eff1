"""/metrics of a proxy: upstream's counters of what was passed on and what was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.etcd.metrics import Histogram, head, process_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

ZERO_ENDPOINTS = "zero_endpoints"
FAILED_SENDING = "failed_sending_request"
FAILED_GETTING = "failed_getting_response"

_METHODS = frozenset(("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"))


class ProxyMetrics:
    """Counts; methods nobody has heard of count together, so that clients cannot fill memory."""

    def __init__(self) -> None:
        self._handled: dict[tuple[str, int], int] = {}
        self._dropped: dict[tuple[str, str], int] = {}
        self._seconds: dict[str, Histogram] = {}

    def handled(self, method: str, status: int, *, took_s: float) -> None:
        """An upstream answered."""
        method = _label(method)
        self._handled[method, status] = self._handled.get((method, status), 0) + 1
        seconds = self._seconds.get(method)
        if seconds is None:
            seconds = self._seconds[method] = Histogram(first_s=0.0005, buckets=13)
        seconds.observe(took_s)

    def dropped(self, method: str, error: str) -> None:
        """One of the three constants has happened."""
        key = _label(method), error
        self._dropped[key] = self._dropped.get(key, 0) + 1

    def render(self) -> bytes:
        """Everything as Prometheus text."""
        return ("\n".join((*self._lines(), *process_lines())) + "\n").encode()

    def _lines(self) -> Iterator[str]:
        name = "etcd_proxy_handled_total"
        yield from head(name, "counter", "Requests that an upstream has answered.")
        for (method, status), count in sorted(self._handled.items()):
            yield f'{name}{{code="{status}",method="{method}"}} {count}'
        name = "etcd_proxy_dropped_total"
        yield from head(name, "counter", "Attempts that brought no answer.")
        for (method, error), count in sorted(self._dropped.items()):
            yield f'{name}{{method="{method}",proxying_error="{error}"}} {count}'
        name = "etcd_proxy_handling_duration_seconds"
        yield from head(name, "histogram", "Time until the head of the answer.")
        for method in sorted(self._seconds):
            yield from self._seconds[method].samples(name, label=f'method="{method}"')


def _label(method: str) -> str:
    return method if method in _METHODS else "other"
