"""What rollerd counts, in the text format that Prometheus reads. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

_BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Sample(NamedTuple):
    """One value and its labels."""

    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Family(NamedTuple):
    """A metric: its type, what it is, and its values."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


class Metrics:
    """Counts since the start."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], int] = {}
        self._buckets = [0] * (len(_BOUNDS_MS) + 1)
        self._sum_us = 0
        self._streamed: dict[str, int] = {}

    def count(self, family: str, status: int) -> None:
        """A request was answered."""
        key = (family, status)
        self._requests[key] = self._requests.get(key, 0) + 1

    def streamed(self, family: str, size: int) -> None:
        """So many bytes of a reply were handed to the network piece by piece."""
        self._streamed[family] = self._streamed.get(family, 0) + size

    def took(self, duration_us: int) -> None:
        """So long a call of the database has taken, from its request to its answer."""
        self._sum_us += duration_us
        for index, bound in enumerate(_BOUNDS_MS):
            if duration_us <= bound * 1000:
                self._buckets[index] += 1
                return
        self._buckets[-1] += 1

    def families(self) -> list[Family]:
        """What was counted."""
        requests = tuple(
            Sample(count, (("family", family), ("status", str(status))))
            for (family, status), count in sorted(self._requests.items())
        )
        streamed = tuple(
            Sample(size, (("family", family),)) for family, size in sorted(self._streamed.items())
        )
        return [
            Family("rollerd_requests_total", "counter", "Requests answered.", requests),
            Family("rollerd_call_seconds", "histogram", "Time to a durable answer.", self._times()),
            Family("rollerd_streamed_bytes_total", "counter", "Payloads and the like.", streamed),
        ]

    def _times(self) -> tuple[Sample, ...]:
        total = 0
        samples = []
        for bound, count in zip((*_BOUNDS_MS, None), self._buckets, strict=True):
            total += count
            limit = "+Inf" if bound is None else f"{bound / 1000:g}"
            samples.append(Sample(total, (("", "_bucket"), ("le", limit))))
        samples.append(Sample(self._sum_us / 1e6, (("", "_sum"),)))
        samples.append(Sample(total, (("", "_count"),)))
        return tuple(samples)


def render(families: Iterable[Family]) -> str:
    """The text. A label without a name is the end of the metric's."""
    lines = []
    for family in families:
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for sample in family.samples:
            suffix = "".join(value for name, value in sample.labels if not name)
            labels = ",".join(f'{name}="{_escape(value)}"' for name, value in sample.labels if name)
            shown = f"{{{labels}}}" if labels else ""
            lines.append(f"{family.name}{suffix}{shown} {_number(sample.value)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
