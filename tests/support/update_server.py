"""An update server for tests: answers Omaha requests, hosts the payload, breaks what it is told to.

Every request's events are kept in `events` as (type, result, error code), every Range in `ranges`.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import threading
from typing import Self

from coreos_py.omaha import request, response
from coreos_py.omaha.response import AppReply, Offer, Package

CUSTOM = 1 << 28  # what every error code carries when the server is not upstream's


class UpdateServer:
    """`payload` is on offer as `version` to every machine that runs another one."""

    def __init__(self, payload: bytes, *, version: str = "2.0.0", host: str = "127.0.0.1") -> None:
        self.version = version
        self.offer(payload)
        self.urls = 1
        self.action: dict[str, str] = {"DisablePayloadBackoff": "true"}
        self.poll_interval_s = 0
        self.answers: list[tuple[int, bytes]] = []  # sent instead, one for each check
        self.cut_at: list[int] = []  # after so many bytes the connection breaks, once for each
        self.statuses: list[int] = []  # instead of the payload, one for each download
        self.has_ranges = True
        self.gate: threading.Event | None = None  # the second half of the payload waits for it
        self.checks: list[request.Request] = []
        self.events: list[tuple[int, int, int]] = []
        self.previous: list[str | None] = []
        self.ranges: list[str] = []
        self.pings = 0
        self.policies: list[tuple[str, bytes]] = []
        self.policy_status = 200
        self._server = http.server.ThreadingHTTPServer((host, 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def offer(self, payload: bytes) -> None:
        """Serve this one, and announce it."""
        self.payload = payload
        self.sha256 = base64.b64encode(hashlib.sha256(payload).digest()).decode()
        self.size = len(payload)

    @property
    def url(self) -> str:
        """Where to ask."""
        return f"{self.base}/v1/update/"

    @property
    def base(self) -> str:
        """http://host:port"""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.gate is not None:
            self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, asked: request.Request) -> tuple[int, bytes]:
        """What a request gets."""
        (app,) = asked.apps
        for event in app.events:
            if event.previous_version is not None:
                self.previous.append(event.previous_version)
            if event.previous_version is None or event.result == 0:
                self.events.append((event.type, event.result, event.error_code))
        if not app.has_update_check:
            self.pings += app.has_ping
            reply = AppReply(app.app_id, has_ping=app.has_ping, events=len(app.events))
            return 200, response.write((reply,), server="test")
        self.checks.append(asked)
        if self.answers:
            return self.answers.pop(0)
        reply = AppReply(
            app.app_id,
            has_ping=True,
            update_status="noupdate" if app.version == self.version else "ok",
            offer=None if app.version == self.version else self._offer(),
            poll_interval_s=self.poll_interval_s,
            events=len(app.events),
        )
        return 200, response.write((reply,), server="test")

    def _offer(self) -> Offer:
        return Offer(
            self.version,
            tuple(f"{self.base}/{number}/" for number in range(self.urls)),
            (Package("update.gz", "", self.size),),
            {"sha256": self.sha256, **self.action},
        )

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/policy":
                    owner.policies.append((self.headers["Content-Type"], body))
                    self._send(owner.policy_status, b"")
                    return
                self._send(*owner.answer(request.parse(body)))

            def do_GET(self) -> None:
                asked = self.headers.get("Range", "")
                owner.ranges.append(asked)
                if owner.statuses or not self.path.endswith("/update.gz"):
                    self._send(owner.statuses.pop(0) if owner.statuses else 404, b"not now")
                    return
                start = 0
                if asked and owner.has_ranges:
                    start = int(asked.removeprefix("bytes=").rstrip("-"))
                self._payload(start)

            def _payload(self, start: int) -> None:
                data, size = owner.payload[start:], len(owner.payload)
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if owner.cut_at:
                    self.wfile.write(data[: owner.cut_at.pop(0)])
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.close()
                    return
                gate = owner.gate
                half = len(data) // 2 if gate is not None else len(data)
                self.wfile.write(data[:half])
                self.wfile.flush()
                if gate is not None:
                    gate.wait(600)
                    self.wfile.write(data[half:])

            def _send(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_args: object) -> None:
                """Tests read the lists instead."""

        return Handler
