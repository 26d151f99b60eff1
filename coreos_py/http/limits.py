"""What a server puts up with: how large, and how slow."""

from __future__ import annotations

from collections.abc import Callable

from coreos_py.http.message import Request


class Limits:
    """Bounds of one server. Times are seconds; None means no bound."""

    __slots__ = (
        "body_max",
        "body_timeout_s",
        "head_max",
        "head_timeout_s",
        "idle_timeout_s",
        "pipeline_max",
        "stream_backlog_max",
        "write_timeout_s",
    )

    def __init__(
        self,
        *,
        body_max: int | Callable[[Request], int] = 32 << 20,
        head_max: int = 1 << 20,
        pipeline_max: int = 256 << 10,
        stream_backlog_max: int = 1 << 20,
        head_timeout_s: float | None = 30.0,
        body_timeout_s: float | None = 300.0,
        idle_timeout_s: float | None = 300.0,
        write_timeout_s: float | None = 60.0,
    ) -> None:
        self.body_max: Callable[[Request], int] = (
            body_max if callable(body_max) else lambda _request: body_max
        )
        self.head_max = head_max
        self.pipeline_max = pipeline_max
        self.stream_backlog_max = stream_backlog_max
        self.head_timeout_s = head_timeout_s
        self.body_timeout_s = body_timeout_s
        self.idle_timeout_s = idle_timeout_s
        self.write_timeout_s = write_timeout_s
