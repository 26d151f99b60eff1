"""`updatectl watch`: check in as one instance and run a command at every new version.

Mirrors watch.go, which runs the command at once when there is something other than the version to
begin with, and again when it has seen which.
"""

from __future__ import annotations

import gc
import os
import sys
import time

from coreos_py.base.errors import WireError
from coreos_py.http.client import HTTPClient, TransportError
from coreos_py.http.url import parse_endpoint
from coreos_py.updatectl import omahaclient
from coreos_py.updatectl.session import (
    ERROR_USAGE,
    PLAIN_USER_AGENT,
    Fatal,
    http_client,
    log,
    new_uuid,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call
    from coreos_py.http.url import Endpoint
    from coreos_py.updatectl.omahaclient import Check

TARGET = "/v1/update"
_QUIET = ("noupdate", "error-version")
_HEADERS = (("User-Agent", PLAIN_USER_AGENT), ("Content-Type", "text/xml"))
_XML = '<?xml version="1.0" encoding="UTF-8"?>'


class Watcher:
    """One instance that checks in."""

    def __init__(self, call: Call, endpoint: Endpoint, client: HTTPClient) -> None:
        flags = call.flags
        self.app: str = flags["app-id"]
        self._track: str = flags["group-id"]
        self._id: str = flags["client-id"] or new_uuid()
        self._debug: bool = call.settings["debug"]
        self._endpoint = endpoint
        self._client = client

    def check(self, version: str) -> Check:
        """Ask once; TransportError, WireError."""
        app = {
            "appid": f"{{{self.app}}}",
            "version": version,
            "track": self._track,
            "bootid": new_uuid(),
            "machineid": self._id,
        }
        children = (omahaclient.update_check(), omahaclient.event("1", "0"))
        # This event tells of nothing, so it has no error code.
        children[1].attributes.pop("errorcode")
        body = omahaclient.request(app, children)
        self._trace("Request", body)
        target = self._endpoint.path + TARGET
        reply = self._client.request("POST", self._endpoint, target, headers=_HEADERS, body=body)
        self._trace("Response", reply.body)
        if reply.status != 200:
            raise WireError(f"the server answered with status {reply.status}")
        return omahaclient.check_of(omahaclient.read(reply.body))

    def _trace(self, what: str, body: bytes) -> None:
        if self._debug:
            text = body.decode("utf-8", "replace")
            print(f"{what}: {_XML}\n{text}", file=sys.stderr, flush=True)


def watch(call: Call) -> int:
    """Runs until it is interrupted."""
    flags, words = call.flags, call.args
    if not words:
        return ERROR_USAGE
    if flags["interval"] <= 0:
        log(f"--interval={flags['interval']} is no time between checks")
        return ERROR_USAGE
    server = call.settings["server"].rstrip("/")
    try:
        watcher = Watcher(call, parse_endpoint(server), http_client(call))
    except ValueError as err:
        raise Fatal(str(err)) from None
    gc.enable()  # a command that runs on is not a quick one
    version: str = flags["version"]
    try:
        first = watcher.check(version)
    except (TransportError, WireError) as err:
        raise Fatal(f'Post "{server}{TARGET}": {err}') from None
    if first.status not in _QUIET:
        _run(words, watcher.app, first, version=version)
    _follow(watcher, words, version, interval_s=flags["interval"])
    return 0


def _follow(watcher: Watcher, words: list[str], version: str, *, interval_s: int) -> None:
    due = time.monotonic()
    while True:
        due = max(due + interval_s, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            check = watcher.check(version)
        except (TransportError, WireError) as err:
            log(f"warning: update check failed ({err})")
            continue
        if check.status in _QUIET:
            continue
        if check.status != "ok":
            log(f"warning: update check failed ({check.status})")
            continue
        if check.version != version:
            _run(words, watcher.app, check, version=check.version, old=version)
        version = check.version


def _run(words: list[str], app: str, check: Check, *, version: str, old: str = "") -> None:
    """The command, to its end. Fatal if there is none."""
    env = dict(os.environ)
    env["UPDATE_SERVICE_VERSION"] = version
    if old:
        env["UPDATE_SERVICE_OLD_VERSION"] = old
    env["UPDATE_SERVICE_APP_ID"] = app
    if check.status == "ok":
        env["UPDATE_SERVICE_URL"] = check.url
    sys.stdout.flush()
    try:
        pid = os.posix_spawnp(words[0], words, env)
    except FileNotFoundError:
        text = "executable file not found in $PATH"
        raise Fatal(f'exec: "{words[0]}": {text}') from None
    except OSError as err:
        raise Fatal(f"fork/exec {words[0]}: {(err.strerror or str(err)).lower()}") from None
    os.waitpid(pid, 0)
