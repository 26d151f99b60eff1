"""Every error the suite raises on purpose, as one tree.

CoreosError                     exit_code 1
├─ UsageError                   the command line is wrong; the dialect decides text and code
├─ ConfigError                  one or more bad settings, each with its origin
├─ StoreError                   a numbered etcd v2 error; HTTP status from one table
├─ Unavailable                  no leader, timeout, connection refused; may be retried
├─ WireError                    a peer or client sent nonsense; carries the HTTP status to answer
├─ Corrupt                      damaged bytes on disk; never retried, never repaired in silence
└─ ExternalError                a program or D-Bus call failed

Raise where the fact is known; translate foreign exceptions in adapters only. Messages: lower case,
one line, no final full stop, name the object and the value; what to do goes into `hint`.
Programmer errors are asserts. Imports nothing, so that every layer may use it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class CoreosError(Exception):
    """A failure whose message is meant for a person."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(CoreosError):
    """The command line cannot be understood."""

    exit_code = 2


class ConfigError(CoreosError):
    """Settings that cannot be used; `items` holds one line per problem, with its origin."""

    def __init__(self, items: str | Sequence[str], *, hint: str | None = None) -> None:
        self.items = (items,) if isinstance(items, str) else tuple(items)
        super().__init__("; ".join(self.items), hint=hint)


class Unavailable(CoreosError):
    """Nobody could serve the request just now; trying again later is right."""

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class WireError(CoreosError):
    """The other side broke the protocol; `status_hint` is the HTTP status to answer it with."""

    def __init__(self, message: str, *, hint: str | None = None, status_hint: int = 400) -> None:
        super().__init__(message, hint=hint)
        self.status_hint = status_hint


class Corrupt(CoreosError):
    """Bytes on disk that cannot be right, with the file and the offset."""

    def __init__(
        self, path: str, offset: int, detail: str = "", *, hint: str | None = None
    ) -> None:
        text = f"{path}: damaged at offset {offset}"
        super().__init__(f"{text}: {detail}" if detail else text, hint=hint)
        self.path = path
        self.offset = offset
        self.detail = detail


class ExternalError(CoreosError):
    """A program or D-Bus call that we depend on failed."""

    def __init__(
        self, argv: Sequence[str], status: int, stderr: str = "", *, hint: str | None = None
    ) -> None:
        last = stderr.strip().rsplit("\n", 1)[-1]
        text = f"{' '.join(argv)}: exit status {status}"
        super().__init__(f"{text}: {last}" if last else text, hint=hint)
        self.argv = tuple(argv)
        self.status = status
        self.stderr = stderr


# The v2 API's numbered errors (etcd 2.3, /v2/keys).
KEY_NOT_FOUND = 100
TEST_FAILED = 101
NOT_FILE = 102
NO_MORE_PEER = 103
NOT_DIR = 104
NODE_EXIST = 105
KEY_IS_PRESERVED = 106
ROOT_RONLY = 107
DIR_NOT_EMPTY = 108
EXISTING_PEER_ADDR = 109
UNAUTHORIZED = 110
QUOTA_EXCEEDED = 111  # ours; etcd 2.3 has no quota
VALUE_REQUIRED = 200
PREV_VALUE_REQUIRED = 201
TTL_NAN = 202
INDEX_NAN = 203
VALUE_OR_TTL_REQUIRED = 204
TIMEOUT_NAN = 205
NAME_REQUIRED = 206
INDEX_OR_VALUE_REQUIRED = 207
INDEX_VALUE_MUTEX = 208
INVALID_FIELD = 209
INVALID_FORM = 210
REFRESH_VALUE = 211
REFRESH_TTL_REQUIRED = 212
RAFT_INTERNAL = 300
LEADER_ELECT = 301
WATCHER_CLEARED = 400
EVENT_INDEX_CLEARED = 401
STANDBY_INTERNAL = 402
INVALID_ACTIVE_SIZE = 403
INVALID_REMOVE_DELAY = 404
CLIENT_INTERNAL = 500

STORE_MESSAGES = {
    KEY_NOT_FOUND: "Key not found",
    TEST_FAILED: "Compare failed",
    NOT_FILE: "Not a file",
    NO_MORE_PEER: "Reached the max number of peers in the cluster",
    NOT_DIR: "Not a directory",
    NODE_EXIST: "Key already exists",
    KEY_IS_PRESERVED: "The prefix of given key is a keyword in etcd",
    ROOT_RONLY: "Root is read only",
    DIR_NOT_EMPTY: "Directory not empty",
    EXISTING_PEER_ADDR: "Peer address has existed",
    UNAUTHORIZED: "The request requires user authentication",
    QUOTA_EXCEEDED: "The quota of the store is used up",
    VALUE_REQUIRED: "Value is Required in POST form",
    PREV_VALUE_REQUIRED: "PrevValue is Required in POST form",
    TTL_NAN: "The given TTL in POST form is not a number",
    INDEX_NAN: "The given index in POST form is not a number",
    VALUE_OR_TTL_REQUIRED: "Value or TTL is required in POST form",
    TIMEOUT_NAN: "The given timeout in POST form is not a number",
    NAME_REQUIRED: "Name is required in POST form",
    INDEX_OR_VALUE_REQUIRED: "Index or value is required",
    INDEX_VALUE_MUTEX: "Index and value cannot both be specified",
    INVALID_FIELD: "Invalid field",
    INVALID_FORM: "Invalid POST form",
    REFRESH_VALUE: "Value provided on refresh",
    REFRESH_TTL_REQUIRED: "A TTL must be provided on refresh",
    RAFT_INTERNAL: "Raft Internal Error",
    LEADER_ELECT: "During Leader Election",
    WATCHER_CLEARED: "watcher is cleared due to etcd recovery",
    EVENT_INDEX_CLEARED: "The event in requested index is outdated and cleared",
    STANDBY_INTERNAL: "Standby Internal Error",
    INVALID_ACTIVE_SIZE: "Invalid active size",
    INVALID_REMOVE_DELAY: "Standby remove delay",
    CLIENT_INTERNAL: "Client Internal Error",
}

_STORE_STATUS = {
    KEY_NOT_FOUND: 404,
    NOT_FILE: 403,
    QUOTA_EXCEEDED: 403,
    DIR_NOT_EMPTY: 403,
    UNAUTHORIZED: 401,
    TEST_FAILED: 412,
    NODE_EXIST: 412,
    RAFT_INTERNAL: 500,
    LEADER_ELECT: 500,
}


class StoreError(CoreosError):
    """A numbered v2 error; `index` is the store's index, or 0 when no store produced it."""

    def __init__(self, code: int, cause: str = "", index: int = 0) -> None:
        self.code = code
        self.cause = cause
        self.index = index
        self.text = STORE_MESSAGES.get(code, "")
        super().__init__(f"{code}: {self.text} ({cause}) [{index}]")

    @property
    def status(self) -> int:
        """The HTTP status etcd 2.3 sends with this code."""
        return _STORE_STATUS.get(self.code, 400)
