"""Every key of a cloud-config: its type, where its value goes, what is wrong with it. Pure.

Mirrors the struct tags of coreos-cloudinit 1.13.0 (config/*.go); the order of a section's fields is
the order of lines in the file made of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

STRING = "string"
INT = "int"
FLOAT = "float64"
BOOL = "bool"
STRUCT = "struct"
STRINGS = "[]string"
STRUCTS = "[]struct"


class Valid(NamedTuple):
    """A rule for values: upstream's expression, and one for Python with the same language."""

    text: str
    pattern: re.Pattern[str]


class Field(NamedTuple):
    """One key; `env` names the variable it sets, `fields` what is below it."""

    name: str
    kind: str = STRING
    env: str = ""
    valid: Valid | None = None
    deprecated: str = ""
    fields: tuple[Field, ...] = ()

    def field(self, name: str) -> Field | None:
        """The key of that name below this one."""
        return next((item for item in self.fields if item.name == name), None)


def _valid(text: str, same: str = "") -> Valid:
    """`same` replaces an expression that Python would try in exponentially many ways."""
    return Valid(text, re.compile((same or text).removeprefix("^").removesuffix("$")))


def _section(
    prefix: str,
    keys: str,
    *,
    env: dict[str, str] | None = None,
    deprecated: dict[str, str] | None = None,
    valid: dict[str, Valid] | None = None,
) -> tuple[Field, ...]:
    """Fields from `name` or `name:kind` words; variables are named alike unless `env` tells."""
    fields = []
    for word in keys.split():
        name, _, kind = word.partition(":")
        fields.append(
            Field(
                name,
                kind or STRING,
                (env or {}).get(name, prefix + name.upper()),
                (valid or {}).get(name),
                (deprecated or {}).get(name, ""),
            )
        )
    return tuple(fields)


def _all(names: Iterable[str], text: str) -> dict[str, str]:
    return dict.fromkeys(names, text)


_ETCD_OF_ETCD2 = (
    "advertise_client_urls discovery_fallback discovery_srv discovery_proxy election_timeout"
    " force_new_cluster heartbeat_interval initial_advertise_peer_urls initial_cluster"
    " initial_cluster_state initial_cluster_token listen_client_urls listen_peer_urls"
    " max_snapshots max_wals proxy"
)

ETCD = _section(
    "ETCD_",
    """addr advertise_client_urls bind_addr ca_file cert_file cluster_active_size:int
    cluster_remove_delay:float64 cluster_sync_interval:float64 cors data_dir discovery
    discovery_fallback discovery_srv discovery_proxy election_timeout:int force_new_cluster:bool
    graphite_host heartbeat_interval:int http_read_timeout:float64 http_write_timeout:float64
    initial_advertise_peer_urls initial_cluster initial_cluster_state initial_cluster_token key_file
    listen_client_urls listen_peer_urls max_result_buffer:int max_retry_attempts:int
    max_snapshots:int max_wals:int name peer_addr peer_bind_addr peer_ca_file peer_cert_file
    peer_election_timeout:int peer_heartbeat_interval:int peer_key_file peers peers_file proxy
    retry_interval:float64 snapshot:bool snapshot_count:int trace verbose:bool very_verbose:bool
    very_very_verbose:bool""",
    env={"snapshot_count": "ETCD_SNAPSHOTCOUNT"},
    deprecated=_all(_ETCD_OF_ETCD2.split(), "etcd2 options no longer work for etcd"),
)

ETCD2 = _section(
    "ETCD_",
    """advertise_client_urls ca_file cert_file client_cert_auth:bool cors data_dir debug:bool
    discovery discovery_fallback discovery_srv discovery_proxy election_timeout:int
    enable_pprof:bool force_new_cluster:bool heartbeat_interval:int initial_advertise_peer_urls
    initial_cluster initial_cluster_state initial_cluster_token key_file listen_client_urls
    listen_peer_urls log_package_levels max_snapshots:int max_wals:int name peer_ca_file
    peer_cert_file peer_key_file peer_client_cert_auth:bool peer_trusted_ca_file proxy
    proxy_dial_timeout:int proxy_failure_wait:int proxy_read_timeout:int proxy_refresh_interval:int
    proxy_write_timeout:int snapshot_count:int strict_reconfig_check:bool trusted_ca_file
    wal_dir""",
    deprecated={
        "ca_file": "ca_file obsoleted by trusted_ca_file and client_cert_auth",
        "peer_ca_file": "peer_ca_file obsoleted peer_trusted_ca_file and peer_client_cert_auth",
    },
    valid={"proxy": _valid("^(on|off|readonly)$")},
)

FLANNEL = _section(
    "FLANNELD_",
    """etcd_endpoints etcd_cafile etcd_certfile etcd_keyfile etcd_prefix etcd_username
    etcd_password ip_masq subnet_file interface public_ip""",
    env={"interface": "FLANNELD_IFACE"},
)

FLEET = _section(
    "FLEET_",
    """agent_ttl authorized_keys_file disable_engine:bool engine_reconcile_interval:float64
    etcd_cafile etcd_certfile etcd_keyfile etcd_key_prefix etcd_request_timeout:float64 etcd_servers
    etcd_username etcd_password metadata public_ip token_limit:int verbosity:int
    verify_units:bool""",
)

LOCKSMITH = _section(
    "LOCKSMITHD_",
    """endpoint etcd_cafile etcd_certfile etcd_keyfile etcd_username etcd_password group
    window_start window_length""",
    env={"window_start": "REBOOT_WINDOW_START", "window_length": "REBOOT_WINDOW_LENGTH"},
    valid={
        "window_start": _valid(
            "^((?i:sun|mon|tue|wed|thu|fri|sat|sun) )?0*([0-9]|1[0-9]|2[0-3]):0*([0-9]|[1-5][0-9])$"
        ),
        "window_length": _valid(
            r"^[-+]?([0-9]*(\.[0-9]*)?[a-z]+)+$", r"[-+]?([0-9]*(\.[0-9]*)?[a-z])+"
        ),
    },
)

OEM = _section("", "id name version_id home_url bug_report_url")

UPDATE = _section(
    "",
    "reboot_strategy group server",
    valid={"reboot_strategy": _valid("^(best-effort|etcd-lock|reboot|off)$")},
)
UPDATE_GO_NAMES = {"reboot_strategy": "RebootStrategy", "group": "Group", "server": "Server"}

_DROP_IN = (Field("name"), Field("content"))
UNIT = (
    Field("name"),
    Field("mask", BOOL),
    Field("enable", BOOL),
    Field("runtime", BOOL),
    Field("content"),
    Field(
        "command",
        valid=_valid(
            "^(start|stop|restart|reload|try-restart|reload-or-restart|reload-or-try-restart)$"
        ),
    ),
    Field("drop_ins", STRUCTS, fields=_DROP_IN),
)

FILE = (
    Field(
        "encoding",
        valid=_valid(r"^(base64|b64|gz|gzip|gz\+base64|gzip\+base64|gz\+b64|gzip\+b64)$"),
    ),
    Field("content"),
    Field("owner"),
    Field("path"),
    Field("permissions", valid=_valid("^0?[0-7]{3,4}$")),
)

_REMOTE = "trying to fetch from a remote endpoint introduces too many intermittent errors"
USER = (
    Field("name"),
    Field("passwd"),
    Field("ssh_authorized_keys", STRINGS),
    Field("coreos_ssh_import_github", deprecated=_REMOTE),
    Field("coreos_ssh_import_github_users", STRINGS, deprecated=_REMOTE),
    Field("coreos_ssh_import_url", deprecated=_REMOTE),
    Field("gecos"),
    Field("homedir"),
    Field("no_create_home", BOOL),
    Field("primary_group"),
    Field("groups", STRINGS),
    Field("no_user_group", BOOL),
    Field("system", BOOL),
    Field("no_log_init", BOOL),
    Field("shell"),
)

COREOS = (
    Field("etcd", STRUCT, fields=ETCD),
    Field("etcd2", STRUCT, fields=ETCD2),
    Field("flannel", STRUCT, fields=FLANNEL),
    Field("fleet", STRUCT, fields=FLEET),
    Field("locksmith", STRUCT, fields=LOCKSMITH),
    Field("oem", STRUCT, fields=OEM),
    Field("update", STRUCT, fields=UPDATE),
    Field("units", STRUCTS, fields=UNIT),
)

CLOUD_CONFIG = Field(
    "",
    STRUCT,
    fields=(
        Field("ssh_authorized_keys", STRINGS),
        Field("coreos", STRUCT, fields=COREOS),
        Field("write_files", STRUCTS, fields=FILE),
        Field("hostname"),
        Field("users", STRUCTS, fields=USER),
        Field("manage_etc_hosts"),
    ),
)
