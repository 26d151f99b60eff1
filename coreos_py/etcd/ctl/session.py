"""What every etcdctl command starts with: endpoints, client, synchronisation; and how it fails.

Mirrors etcdctl 2.3.8's util.go and error.go: messages go to stderr, two spaces after "Error:".
"""

from __future__ import annotations

import os
import sys
from time import monotonic

from coreos_py.base.errors import CoreosError
from coreos_py.etcdclient.errors import ClusterUnavailable, DeadlineExceeded, NoEndpoints
from coreos_py.etcdclient.sync_client import Etcd

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import NoReturn

    from coreos_py.cli.program import Call
    from coreos_py.cli.settings import Values
    from coreos_py.etcdclient.calls import Call as ApiCall
    from coreos_py.http.url import Endpoint

EXIT_BAD_ARGS = 1
EXIT_BAD_CONNECTION = 2
EXIT_SERVER_ERROR = 4
EXIT_UNHEALTHY = 5

DEFAULT_ENDPOINTS = "http://127.0.0.1:2379,http://127.0.0.1:4001"
_open: list[Etcd] = []
_CONNECTION_ERRORS = ("dial ", "read ")


class Fatal(CoreosError):
    """The end of the command: `text` goes to stderr as it is."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.exit_code = code


def fail(code: int, err: object) -> NoReturn:
    """End with `Error:  <err>`, and one line per endpoint when none answered."""
    text = f"Error:  {err}\n"
    if isinstance(err, ClusterUnavailable):
        text += f"{err.detail()}\n"
    raise Fatal(code, text)


def synced_client(call: Call) -> Etcd:
    """A client that uses the URLs the members publish, unless --no-sync was given."""
    client = new_client(call)
    debug = bool(call.settings["debug"])
    if not call.settings["no-sync"]:
        if debug:
            _note(f"start to sync cluster using endpoints({','.join(client.endpoints)})")
        _sync(call, client)
        if debug:
            _note(f"got endpoints({','.join(client.endpoints)}) after sync")
    if debug:
        _note(f"Cluster-Endpoints: {', '.join(client.endpoints)}")
    return client


def unsynced_client(call: Call) -> Etcd:
    """A client that uses the endpoints as given."""
    client = new_client(call)
    if call.settings["debug"]:
        _note(f"Cluster-Endpoints: {', '.join(client.endpoints)}")
    return client


def new_client(call: Call) -> Etcd:
    """A client from the global flags and their environment variables."""
    settings = call.settings
    username, password = _credentials(settings["username"])
    if username:
        known = f"{username}:{password}"  # a second client must not ask again
        settings.put("username", "known", text=known, value=known)
    timeout_ns = settings["timeout"]
    try:
        client = Etcd(
            endpoints(call),
            timeout_s=timeout_ns / 1e9 if timeout_ns > 0 else None,
            username=username,
            password=password,
            tls=_tls(call),
            trace=_trace if settings["debug"] else None,
        )
    except ValueError as err:
        raise Fatal(EXIT_BAD_ARGS, f"{err}\n") from None
    _open.append(client)
    return client


def close_clients() -> None:
    """Close the connections of every client of this run."""
    while _open:
        _open.pop().close()


def endpoints(call: Call) -> list[str]:
    """The endpoints asked for, `http://` added where a scheme is missing."""
    settings = call.settings
    domain = _given(settings, "discovery-srv")
    if domain:
        found = _discovered(domain)
        if found:
            return found
    names = ("endpoints", "endpoint", "peers")
    text = next(filter(None, (_given(settings, name) for name in names)), DEFAULT_ENDPOINTS)
    items = [item.strip() for item in text.split(",")]
    return [item if "://" in item else f"http://{item}" for item in items if item]


def _given(settings: Values, name: str) -> str:
    """A setting; an empty flag does not hide its variable, as it does elsewhere."""
    variable = f"ETCDCTL_{name.upper().replace('-', '_')}"
    text: str = settings[name] or os.environ.get(variable, "")
    return text


def _discovered(domain: str) -> list[str]:
    from coreos_py.etcd import dns, srv

    try:
        return srv.client_endpoints(domain, dns.system_resolver())
    except CoreosError as err:
        raise Fatal(EXIT_BAD_ARGS, f"{err}\n") from None


def limit(call: Call, client: Etcd) -> None:
    """Start the clock of --total-timeout."""
    client.deadline = monotonic() + call.settings["total-timeout"] / 1e9


def _sync(call: Call, client: Etcd) -> None:
    limit(call, client)
    try:
        client.sync()
    except NoEndpoints as err:
        urls = ",".join(client.endpoints)
        _note("etcd cluster has no published client endpoints.")
        _note(f"Try '--no-sync' if you want to access non-published client endpoints({urls}).")
        fail(EXIT_SERVER_ERROR, err)
    except ClusterUnavailable as err:
        if all(map(_is_connection_error, err.errors)):
            fail(EXIT_BAD_CONNECTION, err)
        _sync_with_peers(client, err)
    except DeadlineExceeded as err:
        fail(EXIT_BAD_CONNECTION, err.__cause__ if _is_connection_error(err.__cause__) else err)
    except CoreosError as err:
        _sync_with_peers(client, err)
    finally:
        client.deadline = None


def _is_connection_error(error: object) -> bool:
    return str(error).startswith(_CONNECTION_ERRORS)


def _sync_with_peers(client: Etcd, why: CoreosError) -> None:
    """etcd 0.4 has no members API but tells its machines at /v2/peers; `why` if that fails too."""
    try:
        urls = client.peers_of_0_4()
    except CoreosError as err:
        fail(EXIT_BAD_CONNECTION if _is_connection_error(err) else EXIT_SERVER_ERROR, err)
    if not urls:
        fail(EXIT_SERVER_ERROR, why)
    client.use(urls)


def _credentials(flag: str) -> tuple[str, str]:
    username, colon, password = flag.partition(":")
    if username and not colon:
        from coreos_py.etcd.ctl.prompt import ask_password

        try:
            password = ask_password("Password: ")
        except CoreosError as err:
            raise Fatal(EXIT_BAD_ARGS, f"{err}\n") from None
    return username, password


def _tls(call: Call) -> Callable[[], ssl.SSLContext] | None:
    """What makes the TLS context.

    Files that were named are read now, whatever the endpoints are.
    """
    ca, cert, key = (_given(call.settings, f"{name}-file") for name in ("ca", "cert", "key"))
    if not (ca or cert or key):
        return None
    if bool(cert) != bool(key):
        problem = f"KeyFile and CertFile must both be present[key: {key}, cert: {cert}]\n"
        raise Fatal(EXIT_BAD_ARGS, problem)
    from coreos_py.base import tls

    try:
        for path in (ca, cert, key):
            if path:
                os.close(os.open(path, os.O_RDONLY))
        context = tls.client_context(ca_file=ca, cert_file=cert, key_file=key)
    except OSError as err:
        problem = f"open {err.filename}: {str(err.strerror).lower()}\n"
        raise Fatal(EXIT_BAD_ARGS, problem) from None
    except CoreosError as err:
        raise Fatal(EXIT_BAD_ARGS, f"{err}\n") from None
    return lambda: context


def _trace(api_call: ApiCall, endpoint: Endpoint, target: str) -> None:
    url = endpoint.text.rstrip("/").removesuffix(endpoint.path) + target
    command = f"curl -X {api_call.method} {url}"
    if api_call.body is not None:
        body = api_call.body.decode().replace("\\", "\\\\").replace('"', '\\"')
        command += f' -d "{body}"'
    _note(f"cURL Command: {command}")


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
