"""The small routes beside the API: the event stream, health, metrics."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

from coreos_py import __version__
from coreos_py.http.message import Request, Response, error_body
from coreos_py.roller import metrics, stream
from coreos_py.roller.metrics import Family, Sample
from coreos_py.roller.rest.ask import refusal
from coreos_py.roller.rest.gate import READS, Needs
from coreos_py.roller.worker import Job

if TYPE_CHECKING:
    from coreos_py.http.exchange import Pending
    from coreos_py.roller.call import Call, Handler
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.metrics import Metrics
    from coreos_py.roller.rest.gate import Gate
    from coreos_py.roller.service import Service
    from coreos_py.roller.stream import Stream
    from coreos_py.roller.worker import Worker

_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_PROMETHEUS = (("Content-Type", "text/plain; version=0.0.4; charset=utf-8"),)
_JSON = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))
_HEALTH, _METRICS, _STREAM = "/health", "/metrics", "/api/stream"
_PATHS = frozenset({_HEALTH, _METRICS, _STREAM})
_LOCKS = "/api/locks"
_BY_STATUS = """SELECT a.name, g.name, COALESCE(s.status, 1), COUNT(*)
    FROM standing s JOIN groups g ON g.id = s.group_id JOIN application a ON a.id = g.app_id
    WHERE s.seen = 1 GROUP BY a.name, g.name, COALESCE(s.status, 1) ORDER BY 1, 2, 3"""
_BY_VERSION = """SELECT a.name, g.name, s.version, COUNT(*)
    FROM standing s JOIN groups g ON g.id = s.group_id JOIN application a ON a.id = g.app_id
    WHERE s.seen = 1 GROUP BY a.name, g.name, s.version ORDER BY 1, 2, 3"""


class Pages:
    """The routes."""

    def __init__(
        self, service: Service, worker: Worker, gate: Gate, metrics: Metrics, stream: Stream
    ) -> None:
        self._service = service
        self._worker = worker
        self._gate = gate
        self._metrics = metrics
        self._stream = stream
        self._since_s = time.time()

    def route(self, request: Request) -> Handler | Response | Pending | None:
        """The answer to one of these paths, None for others."""
        path = request.path
        if path not in _PATHS:
            return None
        if request.method not in ("GET", "HEAD"):
            return Response(405, (*_TEXT, ("Allow", "GET, HEAD")), error_body(405))
        if path == _STREAM:
            return self._subscribe(request)
        return _health if path == _HEALTH else self._counted

    def no_locks(self, request: Request) -> Pending | None:
        """The answer about reboot locks where no etcd is named, to who might see them."""
        path = request.path
        if path != _LOCKS and not path.startswith(f"{_LOCKS}/"):
            return None
        pending = self._service.begin("locks", request)
        needs = Needs.READ if request.method in READS else Needs.ADMIN

        def look(tx: Tx, call: Call) -> Response:
            self._gate.admit(tx, call, needs)
            return refusal(call, 404, "no etcd with reboot locks is configured (-etcd)")

        self._worker.submit(Job(look, self._service.call(request), pending.complete), write=False)
        return pending

    def _subscribe(self, request: Request) -> Pending:
        """Events, once it is known that the client may have them."""
        pending = self._service.begin("stream", request)

        def look(tx: Tx, call: Call) -> Response:
            self._gate.admit(tx, call, Needs.READ)
            return Response(200)

        def done(answer: Response) -> None:
            if answer.status != 200:
                pending.complete(answer)
            elif request.method == "HEAD":
                pending.complete(Response(200, stream.HEADERS))
            elif not pending.closed:
                self._stream.subscribe(pending)

        self._worker.submit(Job(look, self._service.call(request), done), write=False)
        return pending

    def _counted(self, tx: Tx, call: Call) -> Response:
        """The metrics; instances by status and version are counted in the database."""
        labels = ("application", "group", "status"), ("application", "group", "version")
        families = [
            *self._metrics.families(),
            *self._process(call.now_us),
            Family(
                "rollerd_instances",
                "gauge",
                "Instances seen within a day, by the status of their update.",
                _samples(tx.all(_BY_STATUS), labels[0]),
            ),
            Family(
                "rollerd_instances_by_version",
                "gauge",
                "Instances seen within a day, by the version they run.",
                _samples(tx.all(_BY_VERSION), labels[1]),
            ),
        ]
        return Response(200, _PROMETHEUS, metrics.render(families).encode())

    def _process(self, now_us: int) -> list[Family]:
        usage = resource.getrusage(resource.RUSAGE_SELF)

        def gauge(name: str, help_text: str, value: float) -> Family:
            return Family(name, "gauge", help_text, (Sample(value),))

        return [
            Family(
                "rollerd_build_info",
                "gauge",
                "The version of this program.",
                (Sample(1, (("version", __version__),)),),
            ),
            gauge("rollerd_uptime_seconds", "Since the start.", now_us / 1e6 - self._since_s),
            gauge("rollerd_event_streams", "Dashboards that listen.", self._stream.listeners),
            gauge("rollerd_calls_waiting", "Calls that wait.", self._worker.waiting),
            gauge("process_cpu_seconds_total", "CPU used.", usage.ru_utime + usage.ru_stime),
            gauge("process_max_resident_bytes", "Most memory so far.", usage.ru_maxrss * 1024),
        ]


def _health(tx: Tx, _call: Call) -> Response:
    """Healthy is who can ask the database."""
    tx.one("SELECT 1")
    return Response(200, _JSON, b'{"health":"true"}\n')


def _samples(rows: list[tuple[object, ...]], names: tuple[str, ...]) -> tuple[Sample, ...]:
    return tuple(
        Sample(
            int(str(row[-1])),
            tuple((name, str(value)) for name, value in zip(names, row, strict=False)),
        )
        for row in rows
    )
