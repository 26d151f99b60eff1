"""Counters in Prometheus' text format, with the names fleet 1.0.0 registers."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MACHINE_AWAY = "machine_away"
RUN = "run"
SCHEDULE = "schedule"

_TYPES = (
    ("fleet_engine_leader_start_time", "gauge", "unix time at which this engine became leader"),
    ("fleet_engine_task_count_total", "counter", "scheduling tasks carried out"),
    ("fleet_engine_task_failure_count_total", "counter", "scheduling tasks that failed"),
    ("fleet_engine_reconcile_count_total", "counter", "passes of the engine"),
    ("fleet_engine_reconcile_failure_count_total", "counter", "units that could not stay or go"),
)


class Metrics:
    """The counters of one fleetd."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], float] = {}

    def leader_since(self, unix_s: float) -> None:
        """Note when leadership began."""
        self._values["fleet_engine_leader_start_time", ""] = unix_s

    def task(self, type_: str, *, failed: bool) -> None:
        """Count a task of the engine."""
        name = "failure_count" if failed else "count"
        self._add(f"fleet_engine_task_{name}_total", type_)

    def reconciled(self) -> None:
        """Count a pass."""
        self._add("fleet_engine_reconcile_count_total", "")

    def trouble(self, kind: str) -> None:
        """Count a unit that lost its machine, cannot run there, or finds none."""
        self._add("fleet_engine_reconcile_failure_count_total", kind)

    def text(self) -> str:
        """Return the page a Prometheus server reads."""
        lines = []
        for name, kind, help_text in _TYPES:
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
            lines += _samples(name, self._values)
        return "\n".join(lines) + "\n"

    def _add(self, name: str, label: str) -> None:
        key = (name, label)
        self._values[key] = self._values.get(key, 0) + 1


def _samples(name: str, values: Mapping[tuple[str, str], float]) -> list[str]:
    return [
        f'{name}{{type="{label}"}} {value:g}' if label else f"{name} {value:.17g}"
        for (sample, label), value in sorted(values.items())
        if sample == name
    ]
