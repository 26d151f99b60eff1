"""A web server of the standard library that answers from a table, for tests of our clients."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from typing import NamedTuple, Self


class Asked(NamedTuple):
    """One request as the server saw it."""

    method: str
    target: str
    body: bytes
    authorization: str
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes it


Answer = tuple[int, bytes] | tuple[int, bytes, dict[str, str]]
Route = Answer | list[Answer] | Callable[[Asked], Answer] | None


class Httpd:
    """Answers each path from `routes`; a list is used up one by one, None is never answered."""

    def __init__(self, routes: dict[str, Route]) -> None:
        self.routes = routes
        self.asked: list[Asked] = []
        self.stopping = threading.Event()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """http://127.0.0.1:port"""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def targets(self) -> list[str]:
        """What was asked for, without methods and bodies."""
        return [item.target for item in self.asked]

    def answer(self, asked: Asked) -> Answer | None:
        self.asked.append(asked)
        route = self.routes.get(asked.target.partition("?")[0], (404, b"404 page not found\n"))
        if isinstance(route, list):
            return route.pop(0)
        return route(asked) if callable(route) else route

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def handle_any(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b"".join(iter(self.read_chunk, b""))
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                authorization = self.headers.get("Authorization", "")
                asked = Asked(self.command, self.path, body, authorization, dict(self.headers))
                found = owner.answer(asked)
                if found is None:
                    owner.stopping.wait(10)
                    self.close_connection = True
                    return
                status, data, *rest = found
                self.send_response(status)
                for name, value in (rest[0] if rest else {}).items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def read_chunk(self) -> bytes:
                data = self.rfile.read(int(self.rfile.readline(), 16))
                self.rfile.readline()
                return data

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_args: object) -> None:
                """Tests read `asked` instead."""

        return Handler
