"""The JSON of CoreUpdate's admin API, as google-api-go-client 0.5 writes and reads it.

A Shape is the table of a record's fields in the order in which Go writes them. Written, what is
empty is left out (Go's omitempty: an absent flag is false); read, what is absent is empty. Numbers
of 64 bits travel as strings, except where upstream's service sends them plain. Pure, and on
updatectl's hot path. Mirrors update-gen.go of updateservicectl 2.1.0.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BASE_PATH = "/_ah/api/update/v1/"
_INT64 = 1 << 63


class Kind:
    """A field's type: what it is when absent, how it is read, how it is written."""

    __slots__ = ("empty", "go", "read", "write")

    def __init__(
        self,
        go: str,
        empty: Any,
        read: Callable[[Any], Any],
        *,
        write: Callable[[Any], Any] | None = None,
    ) -> None:
        self.go = go
        self.empty = empty
        self.read = read
        self.write = write


class WrongType(ValueError):
    """The value is of another type; the text names the one it has."""


class BadRecord(ValueError):
    """A record that cannot be read; the text is Go's."""


def _text(value: Any) -> str:
    """A string; half a surrogate pair becomes U+FFFD as in Go."""
    if not isinstance(value, str):
        raise WrongType(_json_type(value))
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongType(_json_type(value))
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WrongType(_json_type(value))
    if value != value or value in (float("inf"), float("-inf")):
        raise WrongType("number")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongType(_json_type(value))
    if not -_INT64 <= value < _INT64:
        raise WrongType(f"number {value}")
    return value


def _quoted(value: Any) -> int:
    text = _text(value)
    digits = text[1:] if text[:1] == "-" else text
    if not (digits.isascii() and digits.isdigit() and -_INT64 <= int(text[:20]) < _INT64):
        raise WrongType(f'string "{text[:40]}"')
    return int(text)


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


TEXT = Kind("string", "", _text)
FLAG = Kind("bool", False, _flag)
NUMBER = Kind("float64", 0, _number)
INTEGER = Kind("int64", 0, _integer)
QUOTED = Kind("int64", 0, _quoted, write=str)


class Shape:
    """A record's fields, in order."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str, **fields: Kind) -> None:
        self.name = name
        self.fields = fields

    def write(self, **values: Any) -> dict[str, Any]:
        """The record without what is empty, ready for gojson.dumps."""
        assert values.keys() <= self.fields.keys(), (self.name, values)
        out = {}
        for name, kind in self.fields.items():
            value = values.get(name)
            if value:
                out[name] = value if kind.write is None else kind.write(value)
        return out

    def read(self, value: Any) -> dict[str, Any]:
        """The record with every field; BadRecord. What it does not know is passed over."""
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise BadRecord(_mismatch(_json_type(value), f"value of type update.{self.name}"))
        out = {}
        for name, kind in self.fields.items():
            found = value.get(name)
            try:
                out[name] = kind.empty if found is None else kind.read(found)
            except WrongType as err:
                where = f"struct field {self.name}.{name} of type {kind.go}"
                raise BadRecord(_mismatch(str(err), where)) from None
        return out

    def many(self) -> Kind:
        """The type of a field that holds a list of these."""

        def read(value: Any) -> list[dict[str, Any]]:
            if not isinstance(value, list):
                raise WrongType(_json_type(value))
            return [self.read(item) for item in value]

        def write(items: Any) -> list[dict[str, Any]]:
            return [self.write(**item) for item in items]

        return Kind(f"[]*update.{self.name}", (), read, write=write)


def _mismatch(found: str, where: str) -> str:
    return f"json: cannot unmarshal {found} into Go {where}"


APP = Shape("App", description=TEXT, id=TEXT, label=TEXT)
APP_LIST = Shape("AppListResp", items=APP.many())

CHANNEL = Shape(
    "AppChannel",
    appId=TEXT,
    dateCreated=TEXT,
    label=TEXT,
    publish=FLAG,
    upstream=TEXT,
    version=TEXT,
)
CHANNEL_LIST = Shape("ChannelListResp", items=CHANNEL.many())
CHANNEL_REQUEST = Shape("ChannelRequest", appId=TEXT, label=TEXT, publish=FLAG, version=TEXT)

GROUP = Shape(
    "Group",
    appId=TEXT,
    channelId=TEXT,
    id=TEXT,
    label=TEXT,
    oemBlacklist=TEXT,
    rolloutActive=FLAG,
    updatePercent=NUMBER,
    updatesPaused=FLAG,
)
GROUP_LIST = Shape("GroupList", items=GROUP.many())
GROUP_PERCENT = Shape("GroupPercent", appId=TEXT, id=TEXT, updatePercent=NUMBER)

# Ours: how far a group is.
GROUP_STATUS = Shape(
    "GroupStatus",
    appId=TEXT,
    channelId=TEXT,
    done=INTEGER,
    failed=INTEGER,
    id=TEXT,
    inProgress=INTEGER,
    label=TEXT,
    onHold=INTEGER,
    pauseReason=TEXT,
    total=INTEGER,
    updatesPaused=FLAG,
    version=TEXT,
    waiting=INTEGER,
)

FRAME = Shape("Frame", duration=QUOTED, percent=NUMBER)
ROLLOUT = Shape("Rollout", appId=TEXT, groupId=TEXT, rollout=FRAME.many())
ROLLOUT_ACTIVE = Shape("RolloutActive", active=FLAG, appId=TEXT, groupId=TEXT)

_VALUES = Shape("GroupRequestsValues", count=QUOTED, timestamp=QUOTED)
_REQUESTS = Shape("GroupRequestsItem", result=TEXT, type=TEXT, values=_VALUES.many(), version=TEXT)
REQUESTS = Shape("GroupRequestsRollup", items=_REQUESTS.many())

PACKAGE = Shape(
    "Package",
    appId=TEXT,
    dateCreated=TEXT,
    metadataSignatureRsa=TEXT,
    metadataSize=TEXT,
    releaseNotes=TEXT,
    required=FLAG,
    sha1Sum=TEXT,
    sha256Sum=TEXT,
    size=TEXT,
    url=TEXT,
    version=TEXT,
)
PACKAGE_LIST = Shape("PackageList", items=PACKAGE.many(), total=INTEGER)
_PUBLIC_ITEM = Shape("PublicPackageItem", AppId=TEXT, packages=PACKAGE.many())
PUBLIC_PACKAGES = Shape("PublicPackageList", items=_PUBLIC_ITEM.many())

_APP_VERSION = Shape("AppVersionItem", appId=TEXT, count=INTEGER, groupId=TEXT, version=TEXT)
APP_VERSIONS = Shape("AppVersionList", items=_APP_VERSION.many())
_CLIENT_UPDATE = Shape(
    "ClientUpdate",
    appId=TEXT,
    clientId=TEXT,
    errorCode=TEXT,
    eventResult=TEXT,
    eventType=TEXT,
    groupId=TEXT,
    lastSeen=TEXT,
    oem=TEXT,
    version=TEXT,
)
CLIENT_UPDATES = Shape("ClientUpdateList", items=_CLIENT_UPDATE.many())
CLIENT_COUNT = Shape("ClientCountResp", count=INTEGER)
_HISTORY_ITEM = Shape(
    "ClientHistoryItem",
    dateTime=QUOTED,
    errorCode=TEXT,
    eventResult=TEXT,
    eventType=TEXT,
    groupId=TEXT,
    installSource=TEXT,
    version=TEXT,
)
CLIENT_HISTORY = Shape("ClientHistoryResp", items=_HISTORY_ITEM.many())

ADMIN_USER = Shape("AdminUser", token=TEXT, user=TEXT)
ADMIN_USERS = Shape("AdminListUsersResp", users=ADMIN_USER.many())
ADMIN_REQUEST = Shape("AdminUserReq", userName=TEXT)

UPSTREAM = Shape("Upstream", id=TEXT, label=TEXT, url=TEXT)
UPSTREAM_LIST = Shape("UpstreamListResp", items=UPSTREAM.many())
UPSTREAM_SYNC = Shape("UpstreamSyncResp", detail=TEXT, status=TEXT)
UUID = Shape("GenerateUuidResp", uuid=TEXT)
