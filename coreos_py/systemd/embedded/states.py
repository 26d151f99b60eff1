"""The states of a service, with systemd's words, and what is written down of one. Pure."""

from __future__ import annotations

from typing import NamedTuple

ACTIVE_OF = {
    "dead": "inactive",
    "failed": "failed",
    "auto-restart": "activating",
    "start-pre": "activating",
    "start": "activating",
    "start-post": "activating",
    "running": "active",
    "exited": "active",
    "reload": "reloading",
    "stop": "deactivating",
    "stop-sigterm": "deactivating",
    "stop-sigkill": "deactivating",
    "stop-post": "deactivating",
    "final-sigterm": "deactivating",
    "final-sigkill": "deactivating",
}
STARTING = ("start-pre", "start", "start-post")
SIGNALLED = ("stop-sigterm", "stop-sigkill", "final-sigterm", "final-sigkill")
STOPPING = ("stop", "stop-post", *SIGNALLED)
UP = ("active", "reloading")
DOWN = ("inactive", "failed")


class Snapshot(NamedTuple):
    """What must be remembered of a service to take it over after the manager was killed."""

    sub: str = "dead"
    result: str = "success"
    main_pid: int = 0
    main_known: bool = True
    step: int = 0
    asked_to_stop: bool = False
    restarts: int = 0
