"""From command line and environment to the configuration of one server.

Pure: words and environment in, a Config or one of the exceptions below out. Cross checks and their
wording follow etcdmain/config.go of etcd 2.3.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import ConfigError
from coreos_py.cli import grammar
from coreos_py.cli.settings import ENV, FLAG, Values, resolve
from coreos_py.etcd.settings import (
    DEFAULT_NAME,
    DEFAULT_PEER_URLS,
    EVENT_HISTORY,
    EVENT_HISTORY_MAX,
    IGNORED_NAMES,
    TABLE,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MAX_ELECTION_MS = 50_000
DEFAULT_SNAPSHOT_COUNT = 10_000
CATCH_UP_ENTRIES = 5_000

# What would be missed if it were passed over: the flag that asks for it, the value that does not.
_LATER = (("experimental-v3demo", False),)
NO_PROFILES = "there are no profiles here: they are those of a Go program, and this is none"


class InvalidFlags(Exception):
    """The flags contradict each other: `error verifying flags`, exit 1. `notes` follow it."""

    def __init__(self, text: str, *, notes: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.notes = notes


class VersionAsked(Exception):
    """--version was given and everything before it made sense."""


class TLSFiles(NamedTuple):
    """One side's certificate settings."""

    cert: str = ""
    key: str = ""
    trusted_ca: str = ""
    client_auth: bool = False

    def __bool__(self) -> bool:
        return bool(self.cert or self.key)


class ProxyFlags(NamedTuple):
    """Proxy mode: off, readonly or on, and its patience. Times are milliseconds."""

    mode: str = "off"
    failure_wait_ms: int = 5000
    refresh_interval_ms: int = 30_000
    dial_timeout_ms: int = 1000
    write_timeout_ms: int = 5000
    read_timeout_ms: int = 0


class Line(NamedTuple):
    """A log line that came up while reading the configuration."""

    level: str
    package: str
    text: str


class Config(NamedTuple):
    """Everything one member needs to know. Times are milliseconds."""

    name: str = DEFAULT_NAME
    data_dir: str = ""
    wal_dir: str = ""
    snapshot_count: int = DEFAULT_SNAPSHOT_COUNT
    heartbeat_ms: int = 100
    election_ms: int = 1000
    listen_peer_urls: tuple[str, ...] = ()
    listen_client_urls: tuple[str, ...] = ()
    max_snapshots: int = 5
    max_wals: int = 5
    event_history: int = EVENT_HISTORY
    quota_bytes: int = 0
    quorum_read: str = "log"
    cors: tuple[str, ...] = ()
    advertise_peer_urls: tuple[str, ...] = ()
    advertise_client_urls: tuple[str, ...] = ()
    initial_cluster: str = ""
    initial_cluster_is_default: bool = False
    new_cluster: bool = True
    token: str = "etcd-cluster"
    discovery: str = ""
    discovery_fallback: str = "proxy"
    discovery_proxy: str = ""
    discovery_srv: str = ""
    proxy: ProxyFlags = ProxyFlags()
    strict_reconfig_check: bool = False
    force_new_cluster: bool = False
    client_tls: TLSFiles = TLSFiles()
    peer_tls: TLSFiles = TLSFiles()
    debug: bool = False
    pprof: bool = False
    log_package_levels: str = ""
    lines: tuple[Line, ...] = ()

    @property
    def is_proxy(self) -> bool:
        """Whether a new process is to be a proxy."""
        return self.proxy.mode != "off"

    @property
    def member_dir(self) -> str:
        """Where log and snapshots are."""
        return f"{self.data_dir}/member"

    @property
    def log_dir(self) -> str:
        """Where the write-ahead log is."""
        return self.wal_dir or f"{self.data_dir}/member/wal"

    @property
    def election_ticks(self) -> int:
        """Election timeout in heartbeats."""
        return self.election_ms // self.heartbeat_ms

    @property
    def request_timeout_s(self) -> float:
        """How long a write may take: queueing and disk, plus two elections."""
        return 5.0 + 2 * self.election_ticks * self.heartbeat_ms / 1000

    @property
    def dial_timeout_s(self) -> float:
        """How long connecting to a peer may take."""
        return 1.0 + self.election_ticks * self.heartbeat_ms / 5000


def parse(
    words: Sequence[str],
    env: Mapping[str, str],
    *,
    tell: Callable[[Sequence[Line]], None] | None = None,
) -> Config:
    """The configuration; grammar.FlagError, InvalidFlags, ConfigError or VersionAsked otherwise.

    `tell` gets what is to be said of flags and variables even if they are then refused.
    """
    parsed = grammar.parse(TABLE, words, dialect=grammar.GO)
    if parsed.args:
        raise InvalidFlags(f"'{parsed.args[0]}' is not a valid flag")
    if parsed.flags.get("version", ("", False))[1]:
        raise VersionAsked
    values = resolve(TABLE, flags=parsed.flags, env=env)
    lines = tuple(_environment_lines(values, env)) + tuple(_ignored_lines(values))
    if tell is not None:
        tell(lines)
        lines = ()
    _check_bootstrap(values)
    urls = _addresses(values)
    _check(values)
    _refuse_later(values)
    return _build(values, urls, lines)


def _build(values: Values, urls: Mapping[str, tuple[str, ...]], lines: tuple[Line, ...]) -> Config:
    name = values["name"]
    initial = values["initial-cluster"]
    is_default = initial == initial_cluster_of(DEFAULT_NAME)
    if name != DEFAULT_NAME and is_default:
        initial = initial_cluster_of(name)
    snapshot_count = values["snapshot-count"]
    data_dir = values["data-dir"]
    if not data_dir:
        data_dir = f"{name}.etcd"
        lines += (
            Line("W", "etcdmain", f"no data-dir provided, using default data-dir ./{data_dir}"),
        )
    if not snapshot_count:
        snapshot_count = DEFAULT_SNAPSHOT_COUNT
        lines += (Line("I", "etcdserver", f"set snapshot count to default {snapshot_count}"),)
    return Config(
        name=name,
        data_dir=data_dir,
        wal_dir=values["wal-dir"],
        snapshot_count=snapshot_count,
        heartbeat_ms=values["heartbeat-interval"],
        election_ms=values["election-timeout"],
        listen_peer_urls=urls["listen-peer-urls"],
        listen_client_urls=urls["listen-client-urls"],
        max_snapshots=values["max-snapshots"],
        max_wals=values["max-wals"],
        cors=values["cors"] or (),
        advertise_peer_urls=urls["initial-advertise-peer-urls"],
        advertise_client_urls=urls["advertise-client-urls"],
        initial_cluster=initial,
        initial_cluster_is_default=is_default,
        new_cluster=values["initial-cluster-state"] == "new",
        token=values["discovery"] or values["initial-cluster-token"],
        discovery=values["discovery"],
        discovery_fallback=values["discovery-fallback"],
        discovery_proxy=values["discovery-proxy"],
        discovery_srv=values["discovery-srv"],
        proxy=_proxy(values),
        strict_reconfig_check=values["strict-reconfig-check"],
        event_history=values["event-history"],
        quota_bytes=values["quota-backend-bytes"],
        quorum_read=values["quorum-read"],
        force_new_cluster=values["force-new-cluster"],
        client_tls=_tls(values, ""),
        peer_tls=_tls(values, "peer-"),
        debug=values["debug"],
        pprof=values["enable-pprof"],
        log_package_levels=values["log-package-levels"],
        lines=lines,
    )


def initial_cluster_of(name: str) -> str:
    """The default --initial-cluster of a member with that name."""
    return ",".join(f"{name or DEFAULT_NAME}={url}" for url in DEFAULT_PEER_URLS.split(","))


def _tls(values: Values, prefix: str) -> TLSFiles:
    ca = values[f"{prefix}ca-file"]
    return TLSFiles(
        values[f"{prefix}cert-file"],
        values[f"{prefix}key-file"],
        values[f"{prefix}trusted-ca-file"] or ca,
        values[f"{prefix}client-cert-auth"] or bool(ca),
    )


def _proxy(values: Values) -> ProxyFlags:
    return ProxyFlags(
        values["proxy"],
        values["proxy-failure-wait"],
        values["proxy-refresh-interval"],
        values["proxy-dial-timeout"],
        values["proxy-write-timeout"],
        values["proxy-read-timeout"],
    )


def _environment_lines(values: Values, env: Mapping[str, str]) -> Iterator[Line]:
    """What the reference says about every ETCD_ variable it finds."""
    shadowed = set()
    for setting in TABLE:
        origin = values.origin(setting.name)
        if origin == ENV:
            text = f"recognized and used environment variable {setting.env}={env[setting.env]}"
            yield Line("I", "flags", text)
        elif origin == FLAG:
            shadowed.add(setting.env)
    used = {setting.env for setting in TABLE if values.origin(setting.name) == ENV}
    for key, value in env.items():
        if key in used:
            continue
        if key in shadowed:
            # The trailing space is etcd 2.3.8's.
            text = f"recognized environment variable {key}, but unused: "
            yield Line("I", "flags", text + "shadowed by corresponding flag ")
        elif key.startswith("ETCD_"):
            yield Line("W", "flags", f"unrecognized environment variable {key}={value}")


def _ignored_lines(values: Values) -> Iterator[Line]:
    for name in IGNORED_NAMES:
        if values.given(name):
            yield Line("W", "flags", f'flag "-{name}" is no longer supported - ignoring.')
    if values["enable-pprof"]:
        yield Line("W", "etcdmain", f"/debug/pprof answers 501: {NO_PROFILES}")


def _check_bootstrap(values: Values) -> None:
    ways = ("discovery", "initial-cluster", "discovery-srv")
    if sum(values.given(name) for name in ways) > 1:
        raise InvalidFlags(
            "multiple discovery or bootstrap flags are set. "
            'Choose one of "initial-cluster", "discovery" or "discovery-srv"'
        )


_URL_FLAGS = (
    ("listen-peer-urls", "peer-bind-addr", "peer-"),
    ("initial-advertise-peer-urls", "peer-addr", "peer-"),
    ("listen-client-urls", "bind-addr", ""),
    ("advertise-client-urls", "addr", ""),
)


def _addresses(values: Values) -> dict[str, tuple[str, ...]]:
    """The four URL lists, from their own flags or from the 0.4 address flags."""
    old: dict[str, str] = {
        name: values[name]
        for name in ("peer-bind-addr", "peer-addr", "bind-addr", "addr")
        if values.given(name)
    }
    for bind, addr in (("peer-bind-addr", "peer-addr"), ("bind-addr", "addr")):
        if addr in old and bind not in old:
            old[bind] = f"[::]:{old[addr].rpartition(':')[2]}"
    found: dict[str, tuple[str, ...]] = {}
    for name, addr, prefix in _URL_FLAGS:
        if addr not in old:
            found[name] = values[name]
            continue
        if values.given(name):
            raise InvalidFlags(f"Set only one of flags -{name} and -{addr}")
        scheme = "https" if _tls(values, prefix) else "http"
        found[name] = (f"{scheme}://{old[addr]}",)
    return found


def _check(values: Values) -> None:
    falls_back = values.given("discovery") and values["discovery-fallback"] == "proxy"
    if (
        values["proxy"] == "off"
        and not falls_back
        and values.given("listen-client-urls")
        and not values.given("advertise-client-urls")
    ):
        raise InvalidFlags(
            "-advertise-client-urls is required when -listen-client-urls is set explicitly",
            notes=(
                "When listening on specific address(es), this etcd process must advertise "
                "accessible url(s) to each connected client.",
            ),
        )
    heartbeat_ms, election_ms = values["heartbeat-interval"], values["election-timeout"]
    if 5 * heartbeat_ms > election_ms:
        raise InvalidFlags(
            f"-election-timeout[{election_ms}ms] should be at least as 5 times as "
            f"-heartbeat-interval[{heartbeat_ms}ms]"
        )
    if election_ms > MAX_ELECTION_MS:
        raise InvalidFlags(
            f"-election-timeout[{election_ms}ms] is too long, and should be set less than "
            f"{MAX_ELECTION_MS}ms"
        )
    if not heartbeat_ms:  # etcd 2.3.8 divides by it and panics
        raise InvalidFlags("-heartbeat-interval[0ms] must be positive")
    kept = values["event-history"]
    if not EVENT_HISTORY <= kept <= EVENT_HISTORY_MAX:
        raise InvalidFlags(
            f"-event-history[{kept}] must be from {EVENT_HISTORY} to {EVENT_HISTORY_MAX}"
        )


def _refuse_later(values: Values) -> None:
    for name, off in _LATER:
        if values[name] != off:
            raise ConfigError(f"-{name}={values.text(name)} is not available in this version")
