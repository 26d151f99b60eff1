"""The rest of the client port: version, health, machines, statistics, debug variables, log level.

Mirrors the small handlers of etcd 2.3.8's etcdhttp/client.go and capability.go.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sys
from time import time_ns
from typing import TYPE_CHECKING

from coreos_py.base import gojson
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import metrics, replies, version
from coreos_py.etcd.config import NO_PROFILES
from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response
from coreos_py.raft.types import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcd.server import Server

PPROF = "/debug/pprof"
HEALTH_STEP_S = 0.25
HEALTH_STEPS = 3

_LEVELS = {
    "CRITICAL": logging.CRITICAL,
    "C": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "E": logging.ERROR,
    "0": logging.ERROR,
    "WARNING": logging.WARNING,
    "W": logging.WARNING,
    "1": logging.WARNING,
    "NOTICE": NOTICE,
    "N": NOTICE,
    "2": NOTICE,
    "INFO": logging.INFO,
    "I": logging.INFO,
    "3": logging.INFO,
    "DEBUG": logging.DEBUG,
    "D": logging.DEBUG,
    "4": logging.DEBUG,
    "TRACE": logging.DEBUG,
    "T": logging.DEBUG,
    "5": logging.DEBUG,
}
_STATES = {
    Role.FOLLOWER: "StateFollower",
    Role.CANDIDATE: "StateCandidate",
    Role.LEADER: "StateLeader",
}

log = logging.getLogger("etcdhttp")

ANY_METHOD = "*"  # etcd 2.3.8 looks at no method there


def parse_level(text: str) -> int | None:
    """A log level by its name, letter or number, any case."""
    return _LEVELS.get(text.upper())


def version_reply(server: Server) -> Response:
    """/version, on both ports."""
    cluster = server.cluster.version or version.NOT_DECIDED
    body = {"etcdserver": version.SERVER, "etcdcluster": cluster}
    return replies.json_reply(body, newline=False)


class AdminAPI:
    """Answers everything that is neither keys nor members."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._routes: dict[str, tuple[str, Callable[[Request, bytes], Response | Pending]]] = {
            "/health": ("GET", self._health),
            "/version": ("GET", lambda _request, _extra: version_reply(server)),
            "/v2/machines": ("GET,HEAD", self._machines),
            "/v2/stats/store": ("GET", self._store_stats),
            "/v2/stats/self": ("GET", self._self_stats),
            "/v2/stats/leader": ("GET", self._leader_stats),
            "/debug/vars": ("GET", self._vars),
            "/config/local/log": ("PUT", self._log_level),
            "/metrics": (ANY_METHOD, self._metrics),
        }

    def handle(self, request: Request, path: str, *, extra: bytes) -> Response | Pending:
        """The reply to a request at a clean, decoded path."""
        route = self._routes.get(path)
        if route is None:
            if path.startswith(PPROF) and self._server.config.pprof:
                return replies.text_error(501, NO_PROFILES)
            return replies.not_found()
        methods, handler = route
        if methods != ANY_METHOD and request.method not in methods.split(","):
            return replies.not_allowed(*methods.split(","))
        return handler(request, extra)

    def _health(self, _request: Request, extra: bytes) -> Response | Pending:
        if not self._server.leader:
            return replies.text_error(503, '{"health": "false"}')
        return HealthReply(self._server, extra)

    def _machines(self, _request: Request, _extra: bytes) -> Response:
        text = ", ".join(self._server.cluster.client_urls())
        return Response(200, replies.TEXT_TYPE, text.encode())

    def _store_stats(self, _request: Request, _extra: bytes) -> Response:
        return Response(200, replies.JSON_TYPE, self._server.store.json_stats())

    def _self_stats(self, _request: Request, _extra: bytes) -> Response:
        body = self._server.stats.to_json(now_ns=time_ns())
        return replies.json_reply(body, newline=False)

    def _leader_stats(self, _request: Request, _extra: bytes) -> Response:
        server = self._server
        if server.leader != server.id:
            return replies.message(403, "not current leader")
        return replies.json_reply(server.leader_stats.to_json(), newline=False)

    def _metrics(self, request: Request, _extra: bytes) -> Response:
        return metrics.reply(request, metrics.render(self._server))

    def _log_level(self, request: Request, _extra: bytes) -> Response:
        try:  # like Go's decoder: the first value counts, what follows is not looked at
            text = request.body.decode("utf-8", "replace").lstrip()
            body = json.JSONDecoder().raw_decode(text)[0]
        except (ValueError, RecursionError):
            body = ""
        if body is None:
            body = {}
        if not isinstance(body, dict):
            return replies.message(400, "Invalid json body")
        text = next((body[key] for key in body if key.lower() == "level"), "")
        if not isinstance(text, str):
            return replies.message(400, "Invalid json body")
        level = parse_level(text)
        if level is None:
            return replies.message(400, f"Invalid log level {text}")
        log.log(NOTICE, 'globalLogLevel set to "%s"', logging.getLevelName(level))
        logging.getLogger().setLevel(level)
        return Response(204)

    def _vars(self, _request: Request, _extra: bytes) -> Response:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        lines = [
            f'"cmdline": {gojson.dumps(sys.argv)}',
            f'"file_descriptor_limit": {limit}',
            f'"memstats": {gojson.dumps({"Sys": usage.ru_maxrss * 1024})}',
            f'"raft.status": {gojson.dumps(self._raft_status())}',
        ]
        body = "{\n" + ",\n".join(lines) + "\n}\n"
        headers = b"Content-Type: application/json; charset=utf-8\r\n"
        return Response(200, headers, body.encode("utf-8", "surrogateescape"))

    def _raft_status(self) -> dict[str, object]:
        status = self._server.node.status()
        progress = {
            f"{number:x}": {
                "match": follower.match,
                "next": follower.next,
                "state": f"ProgressState{str(follower.state.name).capitalize()}",
            }
            for number, follower in status.progress.items()
        }
        return {
            "id": f"{status.id:x}",
            "term": status.term,
            "vote": f"{status.vote:x}",
            "commit": status.committed,
            "lead": f"{status.leader:x}",
            "raftState": _STATES[status.role],
            "progress": progress,
        }


class HealthReply(Pending):
    """Healthy if the raft index moves within three steps; the leader's SYNCs see to that."""

    __slots__ = ("_extra", "_index", "_left", "_server")

    def __init__(self, server: Server, extra: bytes) -> None:
        super().__init__()
        self._server = server
        self._extra = extra
        self._index = server.index
        self._left = HEALTH_STEPS
        asyncio.get_running_loop().call_later(HEALTH_STEP_S, self._look)

    def _look(self) -> None:
        if self.closed:
            return
        if self._server.index > self._index:
            headers = replies.TEXT_TYPE + self._extra
            self.complete(Response(200, headers, b'{"health": "true"}'))
            return
        self._left -= 1
        if not self._left:
            response = replies.text_error(503, '{"health": "false"}', headers=self._extra)
            self.complete(response)
            return
        asyncio.get_running_loop().call_later(HEALTH_STEP_S, self._look)
