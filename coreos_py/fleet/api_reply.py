"""The answers of the API v1 that every resource gives: an entity, or an error entity."""

from __future__ import annotations

from coreos_py.fleet import schema
from coreos_py.http.server import Response

VERSION = "v1.0.0"
SERVER = ("Server", f"fleetd/{VERSION}")
JSON = ("Content-Type", "application/json")


def ok(entity: str) -> Response:
    """Return an entity."""
    return Response(200, (SERVER, JSON), entity.encode("utf-8", "replace"))


def empty(status: int) -> Response:
    """Return a status without a body."""
    return Response(status, (SERVER,))


def failure(status: int, message: str = "") -> Response:
    """Return an error entity."""
    body = schema.error(status, message).encode("utf-8", "replace")
    return Response(status, (SERVER, JSON), body)
