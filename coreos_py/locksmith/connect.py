"""From settings to the lock in etcd, for locksmithctl and locksmithd alike: one table, one way."""

from __future__ import annotations

import os

from coreos_py.base.errors import ConfigError, CoreosError
from coreos_py.cli.settings import BOOL, STRING, STRINGS, Setting, env_name
from coreos_py.locksmith.lock import KeysV2, KeysV3, Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from typing import Any

    from coreos_py.cli.settings import Kind, Values
    from coreos_py.etcdclient.calls import Call as ApiCall
    from coreos_py.etcdclient.sync_client import Etcd
    from coreos_py.etcdclient.v3sync import Etcd3
    from coreos_py.http.url import Endpoint
    from coreos_py.locksmith.lock import Keys

    Trace = Callable[[str, str], None]

MACHINE_ID_FILE = "/etc/machine-id"
DEFAULT_ENDPOINTS = "http://127.0.0.1:2379,http://127.0.0.1:4001"
VERSION = "0.6.2+git"  # of the program whose behaviour this is; scripts compare it
TIMEOUT_S = 30.0  # what 0.6.2 gives a connection, and we also the answer
_NO_COLON = "first path segment in URL cannot contain colon"


class NoSetup(CoreosError):
    """There is no way to the lock; the message is all that needs to be said."""


def settings(prefix: str) -> tuple[Setting, ...]:
    """The settings of both programs, with this prefix in the environment."""

    def one(name: str, kind: Kind, help_text: str, **more: str) -> Setting:
        return Setting(
            name,
            kind,
            more.get("default", ""),
            env=env_name(prefix, name),
            help=help_text,
            metavar=more.get("metavar", ""),
        )

    return (
        one("debug", BOOL, "tell every request on stderr"),
        one(
            "endpoint",
            STRINGS,
            "where etcd is; may be given several times",
            default=DEFAULT_ENDPOINTS,
            metavar="URL,...",
        ),
        one("etcd-api", STRING, "etcd's API: v2, or v3 for etcd 3.x", default="v2", metavar="API"),
        one("etcd-cafile", STRING, "authority that signed etcd's certificate", metavar="FILE"),
        one("etcd-certfile", STRING, "client certificate for etcd", metavar="FILE"),
        one("etcd-keyfile", STRING, "key of the client certificate", metavar="FILE"),
        one("etcd-username", STRING, "user to etcd, where it has users", metavar="NAME"),
        one("etcd-password", STRING, "that user's password"),
        one("group", STRING, "the machines that share a lock; none by default", metavar="NAME"),
        Setting("version", BOOL, help="print the version and exit"),
    )


class Connection:
    """The lock of the group that the settings name, and the client it is reached by."""

    def __init__(self, values: Values, *, trace: Trace | None = None) -> None:
        """NoSetup in 0.6.2's words."""
        self._client, keys = open_keys(values, trace=trace)
        try:
            self.lock = Lock(keys, group=values["group"])
        except CoreosError as err:
            self.close()
            raise NoSetup(f"Error initializing etcd client: {err}") from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def machine_id(path: str) -> str:
    """This machine's ID; NoSetup."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            found = file.read().strip()
    except OSError:
        found = ""
    if not found:
        raise NoSetup("Cannot read machine-id")
    return found


def endpoints(values: tuple[str, ...]) -> list[str]:
    """The URLs of every --endpoint; ValueError in Go's words."""
    found = [item.strip() for value in values for item in value.split(",")]
    for item in found:
        before = item.partition(":")[0]
        if "://" not in item and ":" in item and not before[:1].isalpha() and "/" not in before:
            problem = "missing protocol scheme" if not before else _NO_COLON
            raise ValueError(f'parse "{item}": {problem}')
    return found


def open_keys(
    values: Values | Mapping[str, Any], *, timeout_s: float = TIMEOUT_S, trace: Trace | None = None
) -> tuple[Etcd | Etcd3, Keys]:
    """The client, and etcd's keys over the API that was chosen; NoSetup in 0.6.2's words."""
    try:
        return _open(values, timeout_s, trace)
    except NoSetup:
        raise
    except (CoreosError, ValueError) as err:
        raise NoSetup(f"Error initializing etcd client: {err}") from None


def _open(
    values: Values | Mapping[str, Any], timeout_s: float, trace: Trace | None
) -> tuple[Etcd | Etcd3, Keys]:
    urls, tls = endpoints(values["endpoint"]), _tls(values)
    username, password = values["etcd-username"], values["etcd-password"]
    if values["etcd-api"] == "v3":
        from coreos_py.etcdclient.v3sync import Etcd3

        newer = Etcd3(
            urls,
            timeout_s=timeout_s,
            username=username,
            password=password,
            tls=tls,
            trace=trace,
        )
        return newer, KeysV3(newer)
    if values["etcd-api"] != "v2":
        raise ConfigError(f"etcd-api: {values['etcd-api']!r} is neither v2 nor v3")
    from coreos_py.etcdclient.sync_client import Etcd

    client = Etcd(
        urls,
        timeout_s=timeout_s,
        username=username,
        password=password,
        tls=tls,
        trace=_for_calls(trace),
    )
    return client, KeysV2(client)


def _for_calls(trace: Trace | None) -> Callable[[ApiCall, Endpoint, str], None] | None:
    if trace is None:
        return None
    return lambda call, endpoint, target: trace(
        call.method, endpoint.text.rstrip("/").removesuffix(endpoint.path) + target
    )


def _tls(values: Values | Mapping[str, Any]) -> Callable[[], ssl.SSLContext] | None:
    """What makes the TLS context. One file given means that all three are needed, and read now."""
    cert, key = values["etcd-certfile"], values["etcd-keyfile"]
    ca = values["etcd-cafile"]
    if not (ca or cert or key):
        return None
    for path in (cert, key, ca):
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as err:
            raise ValueError(f"open {path}: {(err.strerror or str(err)).lower()}") from None
    from coreos_py.base import tls

    context = tls.client_context(ca_file=ca, cert_file=cert, key_file=key)
    return lambda: context
