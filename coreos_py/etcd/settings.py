"""The flags of etcd: one table that feeds flags, environment, --help and the man page.

Names, defaults and the set of flags are etcd 2.3.8's (etcdmain/config.go); the words are ours.
"""

from __future__ import annotations

from coreos_py.cli.settings import BOOL, INT, STRING, UINT, Kind, Setting, choice, env_name
from coreos_py.etcd import urls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Never

DEFAULT_NAME = "default"
DEFAULT_PEER_URLS = "http://localhost:2380,http://localhost:7001"
DEFAULT_CLIENT_URLS = "http://localhost:2379,http://localhost:4001"

EVENT_HISTORY = 1000
EVENT_HISTORY_MAX = 1_000_000

MEMBER = "Member"
CLUSTERING = "Clustering"
PROXY = "Proxy"
SECURITY = "Security"
LOGGING = "Logging"
UNSAFE = "Unsafe"
EXPERIMENTAL = "Experimental"
PROFILING = "Profiling"
OLD = "Compatibility with etcd 0.4"


def _parse_urls(text: str) -> tuple[str, ...]:
    return urls.parse_urls(text.split(","))


def _parse_cors(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for item in text.split(",") if (word := item.strip())))


def _parse_ip_port(text: str) -> str:
    """`ip:port` with a literal IP; names are refused."""
    import ipaddress

    text = text.strip()
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"address {text}: missing port in address")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare and bare == host:
        raise ValueError(f"address {text}: too many colons in address")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError("bad IP in address specification") from None
    if not (port.isascii() and port.isdigit()):
        raise ValueError("bad port in address specification")
    return f"[{bare}]:{int(port)}" if ":" in bare else f"{bare}:{int(port)}"


def _gone(name: str) -> Kind:
    def parse(_text: str) -> Never:
        raise ValueError(f'flag "-{name}" is no longer supported.')

    return Kind("string", parse)


def _any(_text: str) -> Any:
    return True


URL_LIST = Kind("urls", _parse_urls, metavar="URL,...")
ORIGINS = Kind("origins", _parse_cors, metavar="ORIGIN,...")
IP_PORT = Kind("address", _parse_ip_port, metavar="IP:PORT")
IGNORED = Kind("bool", _any, metavar="")

IGNORED_NAMES = (
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-heartbeat-interval",
    "peer-election-timeout",
    "retry-interval",
    "snapshot",
    "v",
    "vv",
)


def _flag(
    name: str, kind: Kind, default: str, group: str, *, help: str, metavar: str = ""
) -> Setting:
    return Setting(
        name,
        kind,
        default,
        env=env_name("ETCD_", name),
        help=help,
        metavar=metavar,
        group=group,
    )


def _old(name: str, kind: Kind, instead: str) -> Setting:
    return Setting(
        name,
        kind,
        env=env_name("ETCD_", name),
        help=f"use --{instead}",
        group=OLD,
        deprecated=f"use --{instead}",
    )


def _ignored(name: str) -> Setting:
    return Setting(
        name,
        IGNORED,
        env=env_name("ETCD_", name),
        help="accepted and ignored with a warning",
        group=OLD,
        hidden=True,
    )


TABLE: tuple[Setting, ...] = (
    _flag("name", STRING, DEFAULT_NAME, MEMBER, help="name of this member, for people"),
    _flag("data-dir", STRING, "", MEMBER, metavar="DIR", help="data directory (NAME.etcd)"),
    _flag("wal-dir", STRING, "", MEMBER, metavar="DIR", help="write-ahead log, if kept elsewhere"),
    _flag("snapshot-count", UINT, "10000", MEMBER, help="entries applied between two snapshots"),
    _flag("heartbeat-interval", UINT, "100", MEMBER, metavar="MS", help="leader's heartbeat"),
    _flag(
        "election-timeout", UINT, "1000", MEMBER, metavar="MS", help="silence that starts a vote"
    ),
    _flag("listen-peer-urls", URL_LIST, DEFAULT_PEER_URLS, MEMBER, help="where peers connect to"),
    _flag(
        "listen-client-urls", URL_LIST, DEFAULT_CLIENT_URLS, MEMBER, help="where clients connect to"
    ),
    _flag("max-snapshots", UINT, "5", MEMBER, help="snapshot files to keep, 0 for all"),
    _flag("max-wals", UINT, "5", MEMBER, help="log files to keep, 0 for all"),
    _flag(
        "event-history",
        UINT,
        str(EVENT_HISTORY),
        MEMBER,
        metavar="EVENTS",
        help="events kept for watches that start in the past",
    ),
    _flag(
        "quota-backend-bytes",
        UINT,
        "0",
        MEMBER,
        metavar="BYTES",
        help="what clients may store in keys and values, 0 for no limit",
    ),
    _flag(
        "quorum-read",
        choice("log", "index"),
        "log",
        MEMBER,
        help="how quorum reads are ordered; index is cheaper",
    ),
    _flag("cors", ORIGINS, "", MEMBER, help="origins whose scripts may call, or *"),
    _flag(
        "initial-advertise-peer-urls",
        URL_LIST,
        DEFAULT_PEER_URLS,
        CLUSTERING,
        help="peer URLs of this member as others reach it",
    ),
    _flag(
        "initial-cluster",
        STRING,
        f"{DEFAULT_NAME}={DEFAULT_PEER_URLS.replace(',', f',{DEFAULT_NAME}=')}",
        CLUSTERING,
        metavar="NAME=URL,...",
        help="the founding members",
    ),
    _flag(
        "initial-cluster-state",
        choice("new", "existing"),
        "new",
        CLUSTERING,
        help="found a cluster or join one",
    ),
    _flag(
        "initial-cluster-token",
        STRING,
        "etcd-cluster",
        CLUSTERING,
        help="keeps clusters founded with the same URLs apart",
    ),
    _flag(
        "advertise-client-urls",
        URL_LIST,
        DEFAULT_CLIENT_URLS,
        CLUSTERING,
        help="client URLs published to everybody",
    ),
    _flag("discovery", STRING, "", CLUSTERING, metavar="URL", help="where the founders meet"),
    _flag(
        "discovery-fallback",
        choice("exit", "proxy"),
        "proxy",
        CLUSTERING,
        help="what to do when the discovered cluster is full",
    ),
    _flag(
        "discovery-proxy",
        STRING,
        "",
        CLUSTERING,
        metavar="URL",
        help="HTTP proxy towards discovery",
    ),
    _flag(
        "discovery-srv",
        STRING,
        "",
        CLUSTERING,
        metavar="DOMAIN",
        help="domain whose SRV records name the founders",
    ),
    _flag(
        "strict-reconfig-check",
        BOOL,
        "",
        CLUSTERING,
        help="refuse membership changes that would lose quorum",
    ),
    _flag(
        "proxy",
        choice("off", "readonly", "on"),
        "off",
        PROXY,
        help="pass requests on to the cluster instead of being a member",
    ),
    _flag(
        "proxy-failure-wait", UINT, "5000", PROXY, metavar="MS", help="rest of a failed endpoint"
    ),
    _flag("proxy-refresh-interval", UINT, "30000", PROXY, metavar="MS", help="endpoint refresh"),
    _flag("proxy-dial-timeout", UINT, "1000", PROXY, metavar="MS", help="connect timeout"),
    _flag("proxy-write-timeout", UINT, "5000", PROXY, metavar="MS", help="write timeout"),
    _flag("proxy-read-timeout", UINT, "0", PROXY, metavar="MS", help="read timeout, 0 for none"),
    _flag(
        "ca-file",
        STRING,
        "",
        SECURITY,
        metavar="FILE",
        help="as --trusted-ca-file with client-cert-auth",
    ),
    _flag("cert-file", STRING, "", SECURITY, metavar="FILE", help="certificate for clients"),
    _flag("key-file", STRING, "", SECURITY, metavar="FILE", help="its key"),
    _flag("client-cert-auth", BOOL, "", SECURITY, help="require client certificates"),
    _flag(
        "trusted-ca-file", STRING, "", SECURITY, metavar="FILE", help="CAs of client certificates"
    ),
    _flag(
        "peer-ca-file",
        STRING,
        "",
        SECURITY,
        metavar="FILE",
        help="as --peer-trusted-ca-file with peer-client-cert-auth",
    ),
    _flag("peer-cert-file", STRING, "", SECURITY, metavar="FILE", help="certificate among peers"),
    _flag("peer-key-file", STRING, "", SECURITY, metavar="FILE", help="its key"),
    _flag("peer-client-cert-auth", BOOL, "", SECURITY, help="require certificates of peers"),
    _flag("peer-trusted-ca-file", STRING, "", SECURITY, metavar="FILE", help="CAs of the peers"),
    _flag("debug", BOOL, "", LOGGING, help="log more"),
    _flag(
        "log-package-levels",
        STRING,
        "",
        LOGGING,
        metavar="PKG=LEVEL,...",
        help="levels per package, as etcdserver=DEBUG",
    ),
    _flag(
        "force-new-cluster",
        BOOL,
        "",
        UNSAFE,
        help="make a one-member cluster of this data directory",
    ),
    _flag("version", BOOL, "", PROFILING, help="print the version and exit"),
    _flag(
        "experimental-v3demo", BOOL, "", EXPERIMENTAL, help="v3 preview (not part of this program)"
    ),
    _flag("experimental-gRPC-addr", STRING, "127.0.0.1:2378", EXPERIMENTAL, help="v3 preview only"),
    _flag("experimental-auto-compaction-retention", INT, "0", EXPERIMENTAL, help="v3 preview only"),
    _flag(
        "enable-pprof", BOOL, "", PROFILING, help="accepted; /debug/pprof says that there are none"
    ),
    _old("addr", IP_PORT, "advertise-client-urls"),
    _old("bind-addr", IP_PORT, "listen-client-urls"),
    _old("peer-addr", IP_PORT, "initial-advertise-peer-urls"),
    _old("peer-bind-addr", IP_PORT, "listen-peer-urls"),
    _old("peers", _gone("peers"), "initial-cluster"),
    _old("peers-file", _gone("peers-file"), "initial-cluster"),
    *(_ignored(name) for name in IGNORED_NAMES),
)
