"""The endpoints beside keys and members, as far as they need no server."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from coreos_py.etcd.admin_api import AdminAPI
from coreos_py.etcd.config import Config
from coreos_py.http.message import Request, Response


class Member:
    """Of a server only what it was started with."""

    def __init__(self, config: Config) -> None:
        self.config = config


def answer(method: str, path: str, body: bytes = b"", *, config: Config | None = None) -> Response:
    request = Request(method, path.encode(), {}, 1)
    request.body = body
    member = cast(Any, Member(config or Config()))
    reply = AdminAPI(member).handle(request, path, extra=b"")
    assert isinstance(reply, Response)
    return reply


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"Level":"INFO"}', 204, b""),
        (b' {"level":"info"} x', 204, b""),  # etcd 2.3.8 decodes the first value only
        (b"null", 400, b'{"message":"Invalid log level "}'),
        (b"{}", 400, b'{"message":"Invalid log level "}'),
        (b'{"Level":5}', 400, b'{"message":"Invalid json body"}'),
        (b"", 400, b'{"message":"Invalid json body"}'),
        (b"[]", 400, b'{"message":"Invalid json body"}'),
    ],
)
def test_log_level(body: bytes, status: int, said: bytes) -> None:
    root = logging.getLogger()
    before = root.level
    try:
        reply = answer("PUT", "/config/local/log", body)
    finally:
        root.setLevel(before)
    assert (reply.status, reply.body) == (status, said)


@pytest.mark.parametrize("path", ["/debug/pprof", "/debug/pprof/heap", "/debug/pprof/profile"])
def test_profiles(path: str) -> None:
    assert answer("GET", path).status == 404
    reply = answer("GET", path, config=Config(pprof=True))
    assert (reply.status, reply.body.count(b"\n")) == (501, 1)


def test_log_level_takes_put_only() -> None:
    assert answer("GET", "/config/local/log", b"").status == 405
