"""What rollerd remembers, as frozen records; mirrors CoreRoller 1.0.6's tables.

Times are microseconds since the epoch in UTC, ids are texts. Nothing here reads or writes.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple

from coreos_py.base.errors import CoreosError

COREOS_APP = "e96281a6-d1af-4bde-9a0a-97b76e56dc57"
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
SEEN_US = DAY_US  # who did not check in for so long does not count


class Invalid(CoreosError):
    """A change that the rules do not allow; the message says which rule."""


class Style(StrEnum):
    """Whose manners the Omaha side has."""

    FRIENDLY = "friendly"
    COREROLLER = "coreroller"


class Status(IntEnum):
    """Where an instance stands in its update."""

    UNDEFINED = 1
    UPDATE_GRANTED = 2
    ERROR = 3
    COMPLETE = 4
    INSTALLED = 5
    DOWNLOADED = 6
    DOWNLOADING = 7
    ON_HOLD = 8


UNDER_WAY = frozenset(
    {Status.UPDATE_GRANTED, Status.DOWNLOADING, Status.DOWNLOADED, Status.INSTALLED}
)


class ActivityClass(IntEnum):
    """What an entry of the activity tells; the last two are ours."""

    PACKAGE_NOT_FOUND = 1
    ROLLOUT_STARTED = 2
    ROLLOUT_FINISHED = 3
    ROLLOUT_FAILED = 4
    INSTANCE_UPDATE_FAILED = 5
    CHANNEL_PACKAGE_UPDATED = 6
    PAUSED = 7
    RESUMED = 8


class Severity(IntEnum):
    """How much an entry of the activity matters."""

    SUCCESS = 1
    INFO = 2
    WARNING = 3
    ERROR = 4


class PackageType(IntEnum):
    """What a package holds."""

    COREOS = 1
    DOCKER = 2
    ROCKET = 3
    OTHER = 4


class App(NamedTuple):
    """An application: what instances run and groups update."""

    id: str
    name: str
    description: str
    product_id: str | None  # another name for Omaha and CoreUpdate's API
    created_us: int


class Action(NamedTuple):
    """What update_engine needs to know about a package of type COREOS."""

    id: str
    sha256: str
    created_us: int
    event: str = "postinstall"
    chromeos_version: str = ""
    needs_admin: bool = False
    is_delta: bool = False
    disable_payload_backoff: bool = True
    metadata_signature_rsa: str = ""
    metadata_size: str = ""
    deadline: str = ""


class Package(NamedTuple):
    """One version of an application, and where to get it."""

    id: str
    app_id: str
    type: int
    version: str
    url: str
    filename: str | None
    description: str | None
    size: str | None
    hash: str | None
    created_us: int
    action: Action | None = None
    blacklist: tuple[str, ...] = ()  # ids of the channels that never serve it


class Channel(NamedTuple):
    """A name for the package that its groups shall run."""

    id: str
    app_id: str
    name: str
    color: str
    package_id: str | None
    created_us: int


class Policy(NamedTuple):
    """The rules by which a group's instances are updated."""

    updates_enabled: bool = True
    safe_mode: bool = True
    office_hours: bool = False
    timezone: str | None = None
    period_interval: str = "15 minutes"
    max_updates_per_period: int = 1
    update_timeout: str = "60 minutes"
    canaries: int = 0  # so many must reach the version before anybody else gets it
    update_percent: float = 100.0
    rollout: str = ""  # CoreUpdate's frames as JSON
    rollout_active: bool = False
    rollout_started_us: int | None = None


class Group(NamedTuple):
    """Instances of an application that are updated together."""

    id: str
    app_id: str
    channel_id: str | None
    name: str
    description: str
    track: str
    created_us: int
    policy: Policy
    rollout_in_progress: bool = False
    pause_reason: str = ""  # why updates are off
    oem_blacklist: str = ""  # these OEMs get no updates, separated by commas


class Instance(NamedTuple):
    """A machine, whatever it runs."""

    id: str
    ip: str
    created_us: int
    alias: str = ""
    oem: str = ""
    oem_version: str = ""
    aleph_version: str = ""
    board: str = ""
    boot_id: str = ""


class Standing(NamedTuple):
    """How an instance stands with one application (CoreRoller's instance_application)."""

    instance_id: str
    app_id: str
    group_id: str | None
    version: str
    created_us: int
    last_check_us: int
    status: Status | None = None
    granted_us: int | None = None
    granted_version: str | None = None  # last_update_version
    in_progress: bool = False
    failures: int = 0  # of failed_version, in a row
    failed_version: str | None = None
    retry_us: int = 0  # failed_version is not offered before
    seen: bool = True  # counted: checked in within SEEN_US


class HistoryEntry(NamedTuple):
    """An instance's change of status."""

    status: int
    version: str | None
    created_us: int


class EventEntry(NamedTuple):
    """An event as it was reported; `ignored` tells why it changed nothing."""

    type: int
    result: int
    error_code: int
    previous_version: str | None
    created_us: int
    ignored: str = ""


class Activity(NamedTuple):
    """An entry of the activity, with the names of what it is about."""

    created_us: int
    kind: int
    severity: int
    version: str
    app_name: str
    group_name: str | None
    channel_name: str | None
    instance_id: str | None
    app_id: str = ""
    group_id: str | None = None
    channel_id: str | None = None
    note: str = ""


class Stats(NamedTuple):
    """How far a group is with one version; counts stop at the limit they are compared with."""

    total: int = 0
    granted: int = 0
    attempted: int = 0
    succeeded: int = 0
    granted_in_period: int = 0
    in_progress: int = 0
    timed_out: int = 0

    @property
    def failed(self) -> int:
        """Attempts that ended without the version."""
        return self.attempted - self.succeeded


class User(NamedTuple):
    """Somebody with a password."""

    name: str
    secret: str  # scrypt's, see auth
    role: str  # "admin" or "viewer"
    created_us: int


class Token(NamedTuple):
    """A key for programs; only its hash is kept."""

    id: str
    name: str
    role: str
    hash: str
    user: str
    created_us: int
    last_used_us: int | None


class Session(NamedTuple):
    """A browser that signed in; the id is the hash of its cookie."""

    id: str
    user: str
    role: str
    created_us: int
    expires_us: int


class Sample(NamedTuple):
    """How many instances of a group had this version and status then."""

    at_us: int
    version: str
    status: int  # 1 where it is not known
    instances: int
