"""fleetd's settings: one table, the INI dialect of fleet.conf, and the record everybody reads.

Precedence as in fleet 1.0.0: environment FLEET_<NAME>, then the file, then the default; a value
that does not parse is passed over with a warning. The settings behind `# ours` are extensions.
"""

from __future__ import annotations

import logging
import os
import re
from typing import NamedTuple

from coreos_py.base import durations
from coreos_py.base.errors import ConfigError
from coreos_py.base.sdnotify import booted
from coreos_py.base.unitfile import SPACES
from coreos_py.cli.settings import BOOL, FLOAT, INT, STRING, Setting, Values, resolve
from coreos_py.fleet import hostinfo
from coreos_py.fleet.resources import parse_cpu, parse_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

log = logging.getLogger(__name__)

DEFAULT_PATH = "/etc/fleet/fleet.conf"
DEFAULT_ETCD = "http://127.0.0.1:2379,http://127.0.0.1:4001"
MACHINE_ID_PATH = "/etc/machine-id"
SYSTEMD = "systemd"
EMBEDDED = "embedded"
# Long enough for a unit that is just being submitted to be in use.
COLLECT_LEAST_S = 60.0


def _setting(name: str, kind: object, default: str, help_text: str, **more: str) -> Setting:
    return Setting(
        name,
        kind,  # type: ignore[arg-type]
        default,
        env=f"FLEET_{name.upper()}",
        key=name,
        help=help_text,
        **more,  # type: ignore[arg-type]
    )


TABLE = (
    _setting("verbosity", INT, "0", "above 0 every step is logged"),
    _setting("etcd_servers", STRING, DEFAULT_ETCD, "etcd endpoints", metavar="URL,..."),
    _setting("etcd_api", STRING, "v2", "etcd's API: v2, or v3 for etcd 3.x", metavar="v2|v3"),
    _setting("etcd_username", STRING, "", "user for etcd's basic authentication"),
    _setting("etcd_password", STRING, "", "password for etcd's basic authentication"),
    _setting("etcd_keyfile", STRING, "", "key of the client certificate for etcd"),
    _setting("etcd_certfile", STRING, "", "client certificate for etcd"),
    _setting("etcd_cafile", STRING, "", "authority that signed etcd's certificate"),
    _setting("etcd_key_prefix", STRING, "/_coreos.com/fleet/", "where the registry is in etcd"),
    _setting("etcd_request_timeout", FLOAT, "1.0", "seconds one etcd request may take"),
    _setting("engine_reconcile_interval", FLOAT, "2.0", "seconds between two passes of the engine"),
    _setting("public_ip", STRING, "", "address to publish (default: the default route's)"),
    _setting("metadata", STRING, "", "the machine's metadata", metavar="KEY=VALUE,..."),
    _setting("agent_ttl", STRING, "30s", "how long a silent machine counts as alive"),
    _setting("units_directory", STRING, "/run/fleet/units/", "where unit files are written"),
    _setting("systemd_user", BOOL, "false", "use the user's systemd instead of the system's"),
    _setting("token_limit", INT, "100", "entries per page of the API"),
    _setting("enable_grpc", BOOL, "false", "accepted; engine and agents always meet in etcd"),
    _setting("disable_engine", BOOL, "false", "never take part in scheduling"),
    _setting("disable_watches", BOOL, "false", "do not watch etcd; slows scheduling down"),
    _setting("verify_units", BOOL, "false", "accepted and ignored"),
    _setting("authorized_keys_file", STRING, "", "accepted and ignored"),
    # ours
    _setting("unit_manager", STRING, "", "systemd or embedded (default: systemd where it runs)"),
    _setting("api_listen", STRING, "", "where to serve the API", metavar="URL,..."),
    _setting("api_certfile", STRING, "", "certificate of the API, for https:// listeners"),
    _setting("api_keyfile", STRING, "", "key of that certificate"),
    _setting("api_cafile", STRING, "", "authority that must have signed clients' certificates"),
    _setting("machine_id_file", STRING, MACHINE_ID_PATH, "file that holds the machine's identity"),
    _setting("machine_memory", STRING, "", "what the machine has (default: found out)"),
    _setting("machine_cpu", STRING, "", "how many processors it has (default: found out)"),
    _setting("reserved_memory", STRING, "", "how much of it is not for units, such as 512M"),
    _setting("reserved_cpu", STRING, "", "how many of them are not for units, such as 0.5"),
    _setting("leave_on_stop", BOOL, "true", "stop the units and leave the cluster at SIGTERM"),
    _setting("event_history", BOOL, "true", "record what happens for fleetctl events"),
    _setting("collect_units_after", STRING, "0", "when to remove the texts of destroyed units"),
)


class Config(NamedTuple):
    """What fleetd runs with."""

    verbosity: int
    etcd_servers: tuple[str, ...]
    etcd_api: str
    etcd_username: str
    etcd_password: str
    etcd_keyfile: str
    etcd_certfile: str
    etcd_cafile: str
    etcd_key_prefix: str
    etcd_request_timeout_s: float
    engine_interval_s: float
    public_ip: str
    metadata: Mapping[str, str]
    agent_ttl_s: float
    units_directory: str
    systemd_user: bool
    token_limit: int
    disable_engine: bool
    disable_watches: bool
    unit_manager: str
    api_listen: tuple[str, ...]
    api_certfile: str
    api_keyfile: str
    api_cafile: str
    machine_id: str
    memory: int
    cpu: int
    leave_on_stop: bool
    event_history: bool
    collect_units_after_s: float


def load(path: str, environ: Mapping[str, str]) -> Config:
    """Read the configuration; an explicit path must exist. Raises ConfigError."""
    return build(resolve(TABLE, env=environ, file=read_file(path), on_bad=_passed_over))


def build(values: Values) -> Config:
    """Turn the settings into the record."""
    if values["enable_grpc"]:
        log.warning("enable_grpc has no effect: engine and agents meet in etcd")
    for name in ("verify_units", "authorized_keys_file"):
        if values[name]:
            log.error("The %s option is deprecated and has no effect", name)
    return Config(
        verbosity=values["verbosity"],
        etcd_servers=string_slice(values["etcd_servers"]),
        etcd_api=_etcd_api(values["etcd_api"]),
        etcd_username=values["etcd_username"],
        etcd_password=values["etcd_password"],
        etcd_keyfile=values["etcd_keyfile"],
        etcd_certfile=values["etcd_certfile"],
        etcd_cafile=values["etcd_cafile"],
        etcd_key_prefix=values["etcd_key_prefix"],
        etcd_request_timeout_s=_positive(values, "etcd_request_timeout"),
        engine_interval_s=_positive(values, "engine_reconcile_interval"),
        public_ip=values["public_ip"],
        metadata=parse_metadata(values["metadata"]),
        agent_ttl_s=_agent_ttl_s(values["agent_ttl"]),
        units_directory=values["units_directory"],
        systemd_user=values["systemd_user"],
        token_limit=_token_limit(values["token_limit"]),
        disable_engine=values["disable_engine"],
        disable_watches=values["disable_watches"],
        unit_manager=_unit_manager(values["unit_manager"]),
        api_listen=tuple(url.strip() for url in values["api_listen"].split(",") if url.strip()),
        api_certfile=values["api_certfile"],
        api_keyfile=values["api_keyfile"],
        api_cafile=values["api_cafile"],
        machine_id=read_machine_id(values["machine_id_file"]),
        memory=_capacity(values, "memory", parse_memory, found=hostinfo.memory),
        cpu=_capacity(values, "cpu", parse_cpu, found=hostinfo.processors),
        leave_on_stop=values["leave_on_stop"],
        event_history=values["event_history"],
        collect_units_after_s=_collect_after_s(values["collect_units_after"]),
    )


def read_file(path: str) -> dict[str, str]:
    """Read fleet.conf: the keys outside sections. Without a path the default one may be absent."""
    where = path or DEFAULT_PATH
    if not path and not os.path.exists(where):
        return {}
    if os.path.isdir(where):
        raise ConfigError(f"{where}: is a directory")
    try:
        with open(where, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError as err:
        raise ConfigError(f"open {where}: {(err.strerror or '').lower()}") from None
    return parse_ini(text)


_PATTERNS = tuple(
    re.compile(rf"([^= \t]+)[ \t]*=[ \t]*{value}")
    for value in (r'"([^"]*)"$', r"'([^']*)'$", r"([^#;]+)", r"()(?:[#;].*)?")
)


def parse_ini(text: str) -> dict[str, str]:
    """Read the keys before and between sections as fleet 1.0.0's parser does."""
    found: dict[str, str] = {}
    section = ""
    for number, line in _joined_lines(text):
        if line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            section = line[1:-1].strip(SPACES).lower()
            if not section:
                found.clear()
            continue
        matched = next((m for p in _PATTERNS if (m := p.match(line))), None)
        if matched is None:
            raise ConfigError(f"iniparser: syntax error at ':{number}'.")
        if not section:
            value = matched[2] or ""
            quoted = matched.re in _PATTERNS[:2]
            found[matched[1].lower()] = value if quoted else value.strip(SPACES)
    return found


def _joined_lines(text: str) -> Iterator[tuple[int, str]]:
    lines = iter(text.split("\n"))
    for number, raw in enumerate(lines, start=1):
        line = raw.strip(SPACES)
        while line.endswith("\\"):
            line = line[:-1] + next(lines, "").strip(SPACES)
        if line:
            yield number, line


def string_slice(text: str) -> tuple[str, ...]:
    """Split a list that may be written like JSON: `["a", "b"]`."""
    return tuple(item.strip('[ ]"') for item in text.split(",") if item.strip('[ ]"'))


def parse_metadata(text: str) -> dict[str, str]:
    """Read `k=v,k=v`; items without "=" are passed over, the last of equal keys wins."""
    items = [item for item in text.split(",") if item.strip(SPACES)]
    for item in items:
        if "=" not in item:
            log.warning('Ignoring "%s" in metadata: no "=" in it', item.strip(SPACES))
    pairs = (item.partition("=") for item in items if "=" in item)
    return {key.strip(SPACES): value.strip(SPACES) for key, _, value in pairs}


def read_machine_id(path: str) -> str:
    """Return the machine's identity; ConfigError when the file is missing or empty."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            machine_id = file.read().strip(SPACES)
    except OSError as err:
        problem = (err.strerror or "").lower()
        raise ConfigError(f"unable to determine local machine ID: open {path}: {problem}") from None
    if not machine_id or "/" in machine_id:
        raise ConfigError(f"unable to determine local machine ID: {path} holds {machine_id!r}")
    return machine_id


def _agent_ttl_s(text: str) -> float:
    try:
        ttl_ns = durations.parse(text)
    except ValueError as err:
        raise ConfigError(f"agent_ttl: {err}") from None
    if ttl_ns < durations.SECOND:
        raise ConfigError(f"agent_ttl: {text} is less than a second")
    return durations.seconds(ttl_ns)


def _collect_after_s(text: str) -> float:
    try:
        after_s = durations.seconds(durations.parse(text))
    except ValueError as err:
        raise ConfigError(f"collect_units_after: {err}") from None
    if after_s and after_s < COLLECT_LEAST_S:
        least = f"{COLLECT_LEAST_S:g} s"
        raise ConfigError(f"collect_units_after: {text} is neither 0 nor at least {least}")
    return after_s


def _capacity(
    values: Values, what: str, read: Callable[[str], int], *, found: Callable[[], int]
) -> int:
    """Return what units may reserve of the machine: all it has, but for what is kept back."""
    amounts = []
    for name in (f"machine_{what}", f"reserved_{what}"):
        text = values[name].strip(SPACES)
        try:
            amounts.append(read(text) if text not in ("", "0") else 0)
        except ValueError as err:
            raise ConfigError(f"{name}: {err}") from None
    has, kept = amounts
    return max((has or found()) - kept, 0)


def _positive(values: Values, name: str) -> float:
    number: float = values[name]
    if not 0 < number < float("inf"):
        raise ConfigError(f"{name}: {values.text(name)} is not a positive number of seconds")
    return number


def _token_limit(limit: int) -> int:
    if not 0 < limit <= 0xFFFF:
        raise ConfigError(f"token_limit: {limit} is not between 1 and 65535")
    return limit


def _etcd_api(name: str) -> str:
    # No guessing: an etcd with both keeps two stores, and machines would end up on either.
    if name not in ("v2", "v3"):
        raise ConfigError(f"etcd_api: {name!r} is neither v2 nor v3")
    return name


def _unit_manager(name: str) -> str:
    if name not in ("", SYSTEMD, EMBEDDED):
        raise ConfigError(f"unit_manager: {name!r} is neither systemd nor embedded")
    return name or (SYSTEMD if booted() else EMBEDDED)


def _passed_over(setting: Setting, origin: str, text: str, problem: str) -> None:
    log.warning('Ignoring value "%s" for %s from %s: %s', text, setting.name, origin, problem)
