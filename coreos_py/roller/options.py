"""rollerd's settings as the program uses them: checked, and with their defaults filled in."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from coreos_py.base.errors import ConfigError
from coreos_py.http.listen import split_host_port
from coreos_py.locksmith.connect import open_keys
from coreos_py.roller import interval
from coreos_py.roller.db.driver import POSTGRES
from coreos_py.roller.records import DAY_US

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.cli.settings import Values

COREROLLER = "coreroller"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,15})([KMGT]?)i?B?", re.IGNORECASE)
_ETCD_FILES = ("cafile", "certfile", "keyfile")
_ETCD = (*_ETCD_FILES, "username", "password")
DATABASE = "rollerd.db"
ADMIN_PASSWORD = "ROLLERD_ADMIN_PASSWORD"


class Options(NamedTuple):
    """All there is to decide."""

    host: str
    port: int
    data_dir: str
    database: str
    public_url: str
    payload_dir: str
    payload_max: int
    keep_events_us: int  # 0 is for ever
    enable_syncer: bool
    host_payloads: bool
    http_log: bool
    static_dir: str
    compat: bool
    title: str
    anonymous_read: bool
    trust_proxy: bool
    cert: str
    key: str
    admin_password_file: str
    admin_password: str
    reset_password: str
    etcd: dict[str, Any]  # locksmith's settings, {} without reboot locks

    @property
    def is_postgres(self) -> bool:
        """Whether the database is somewhere else."""
        return self.database.startswith(POSTGRES)


def read(values: Values, environment: Mapping[str, str]) -> Options:
    """What the flags and the environment say; ConfigError."""
    host, port = split_host_port(values["bind"])
    data_dir = os.path.abspath(values["data-dir"])
    database = _database(values["db"] or environment.get("COREROLLER_DB_URL", ""))
    if bool(values["cert"]) != bool(values["key"]):
        have, missing = ("cert", "key") if values["cert"] else ("key", "cert")
        raise ConfigError(f"-{have} needs -{missing} too")
    if values["compat"] not in ("", COREROLLER):
        raise ConfigError(f"-compat is {COREROLLER} or nothing, not {values['compat']!r}")
    return Options(
        host=host,
        port=port,
        data_dir=data_dir,
        database=database or os.path.join(data_dir, DATABASE),
        public_url=_url(values, "public-url") or _url(values, "coreroller-url"),
        payload_dir=os.path.abspath(
            values["coreos-packages-path"] or os.path.join(data_dir, "packages")
        ),
        payload_max=size(values["payload-max"]),
        keep_events_us=_keep_us(values["keep-events"]),
        enable_syncer=values["enable-syncer"],
        host_payloads=values["host-coreos-packages"],
        http_log=values["http-log"],
        static_dir=_directory(values["http-static-dir"]),
        compat=bool(values["compat"]),
        title=values["title"],
        anonymous_read=values["anonymous-read"],
        trust_proxy=values["trust-proxy"],
        cert=values["cert"],
        key=values["key"],
        admin_password_file=values["admin-password-file"],
        admin_password=environment.get(ADMIN_PASSWORD, ""),
        reset_password=values["reset-password"],
        etcd=_etcd(values),
    )


def _database(text: str) -> str:
    """A file, or PostgreSQL's URL."""
    scheme, mark, _ = text.partition("://")
    if mark and not text.startswith(POSTGRES):
        raise ConfigError(f"-db is a file or {POSTGRES[0]}..., not {scheme}://...")
    return text


def size(text: str) -> int:
    """A number of bytes, `4G` and the like; ConfigError."""
    found = _SIZE.fullmatch(text)
    if found is None or not int(found[1]):
        raise ConfigError(f"-payload-max is a size like 4G, not {text!r}")
    return int(found[1]) * _UNITS[found[2].upper()]


def _keep_us(text: str) -> int:
    kept_us = interval.parse_us(text) if text else 0
    if kept_us is None or (text and kept_us < DAY_US):
        raise ConfigError(f"-keep-events is a day or more, like '90 days', not {text!r}")
    return kept_us


def _url(values: Values, name: str) -> str:
    text: str = values[name]
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        if is_server and not parts.query and not parts.fragment:
            return text.rstrip("/")
    except ValueError:
        pass  # said below
    raise ConfigError(f"-{name} is like https://updates.example.com, not {text!r}")


def _directory(path: str) -> str:
    if path and not os.path.isdir(path):
        raise ConfigError(f"-http-static-dir: {path}: no such directory")
    return os.path.abspath(path) if path else ""


def _etcd(values: Values) -> dict[str, Any]:
    if values["etcd-api"] not in ("v2", "v3"):
        raise ConfigError(f"-etcd-api is v2 or v3, not {values['etcd-api']!r}")
    settings = {f"etcd-{name}": values[f"etcd-{name}"] for name in _ETCD}
    given = [name for name, value in settings.items() if value]
    if not values["etcd"]:
        if given:
            raise ConfigError(f"-{given[0]} needs -etcd too")
        return {}
    files = [f"etcd-{name}" for name in _ETCD_FILES]  # locksmith takes all of them or none
    missing = [f"-{name}" for name in files if name not in given]
    if 0 < len(missing) < len(files):
        have = next(name for name in files if name in given)
        raise ConfigError(f"-{have} needs {' and '.join(missing)} too")
    found = {"endpoint": (values["etcd"],), "etcd-api": values["etcd-api"], **settings}
    open_keys(found)[0].close()  # addresses and files are looked at, nothing is asked
    return found
