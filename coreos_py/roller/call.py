"""What a handler of rollerd is given, and what it is: a plain function in a transaction.

Handlers run in the database's thread (see worker.py). They may read and write through the
transaction and nothing else; their answer leaves after the commit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from coreos_py.http.message import Request, Response

if TYPE_CHECKING:
    from coreos_py.roller.db.driver import Tx


class Config(NamedTuple):
    """What the flags of rollerd say to its handlers."""

    compat: bool = False  # answer Omaha exactly as CoreRoller did
    anonymous_read: bool = False
    tls: bool = False  # cookies are for TLS only
    locks: bool = False  # an etcd with reboot locks is configured
    payloads: bool = False  # payload files are hosted here
    title: str = "rollerd"


class Call(NamedTuple):
    """One request, and the facts about the moment that a handler may not look up itself.

    `changed` gets (kind, application's id or "") for what the handler has changed; dashboards hear
    of it after the commit. Without it they hear what the path of a successful write tells.
    """

    request: Request
    now_us: int  # microseconds since the epoch, UTC
    base_url: str  # "http://host:port" as the client sees it, no slash at the end
    peer: str  # the client's address without a port
    new_id: Callable[[], str]
    config: Config
    changed: set[tuple[str, str]]


Handler: TypeAlias = "Callable[[Tx, Call], Response]"


class LookFirst(NamedTuple):
    """A write that waits for a look, which the reader's thread takes: machines that report must
    not wait while somebody's password is checked. Any answer of the look but 200 is the end.
    """

    look: Handler
    write: Handler


class Undo(Exception):
    """An answer instead of what was asked for: whatever the handler has written is taken back."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response
