"""Counters in Prometheus' text format, with the names upstream registers. Pure."""

from __future__ import annotations

_ENDPOINTS = ("health", "new", "token")


class Metrics:
    """Requests answered, by endpoint, status and method."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int, str], int] = {}

    def count(self, endpoint: str, status: int, method: str) -> None:
        """Note one answer; the endpoint is "health", "new" or "token"."""
        assert endpoint in _ENDPOINTS
        key = (endpoint, status, method)
        self._counts[key] = self._counts.get(key, 0) + 1

    def text(self) -> str:
        """The page a Prometheus server reads."""
        lines = []
        for endpoint in _ENDPOINTS:
            name = f"endpoint_{endpoint}_requests_total"
            lines.append(f"# HELP {name} Requests of /{endpoint} by status and method.")
            lines.append(f"# TYPE {name} counter")
            for (of, status, method), count in sorted(self._counts.items()):
                if of == endpoint:
                    lines.append(f'{name}{{code="{status}",method="{_label(method)}"}} {count}')
        return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
