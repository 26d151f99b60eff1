"""`updatectl package upload`, `upload bulk` and `publish`. Mirrors pkg.go; `publish` is ours."""

from __future__ import annotations

import os
from base64 import b64decode

from coreos_py.http.client import TransportError
from coreos_py.omaha.coreupdate import CHANNEL_LIST, PACKAGE, PACKAGE_LIST
from coreos_py.omaha.request import APP_ID
from coreos_py.updatectl import channels
from coreos_py.updatectl.packages import insert, join_url, measure, read_notes, reason
from coreos_py.updatectl.session import (
    ERROR_API,
    ERROR_USAGE,
    OK,
    PLAIN_USER_AGENT,
    Fatal,
    Service,
    log,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    from coreos_py.cli.program import Call
    from coreos_py.cli.progress import Progress
    from coreos_py.updatectl.packages import Sums

_TARGET = "/package-upload"
_BLOCK = 1 << 18
_MIB = 1 << 20


class NotUploaded(Exception):
    """A payload did not get there; the text says why."""


def upload(call: Call) -> int:
    """One payload."""
    path = call.flags["file"]
    try:
        if not path:
            raise NotUploaded("missing file argument")
        _send(Service(call), path)
    except NotUploaded as err:
        print(f"error uploading file\n{err}")
        return ERROR_USAGE
    print(f"uploaded file {path}")
    return OK


def upload_bulk(call: Call) -> int:
    """Every file of a directory. 2.1.0 ends with 0 whatever came of them."""
    directory = call.flags["dir"]
    if not directory:
        return ERROR_USAGE
    try:
        names = sorted(os.listdir(directory))
    except OSError as err:
        log(f"open {os.path.abspath(directory)}: {reason(err)}")
        return ERROR_USAGE
    paths = [os.path.join(directory, name) for name in names]
    paths = [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]
    service, failed = Service(call), 0
    for path in paths:
        try:
            _send(service, path)
        except NotUploaded as err:
            failed += 1
            print(f"error uploading {os.path.basename(path)}: {err}")
        else:
            print(f"uploaded {os.path.basename(path)}")
    log(f"Package payloads uploaded. Total={len(paths)} Errors={failed}")
    return ERROR_API if failed else OK


def publish(call: Call) -> int:
    """From a file to a channel that offers it, in steps that may be repeated."""
    flags = call.flags
    if len(call.args) != 1:
        return ERROR_USAGE
    path, app, channel, version = call.args[0], flags["app-id"], flags["channel"], flags["version"]
    service, sums = Service(call), measure(path)
    notes = read_notes(flags["release-notes"])
    old = _package(service, app, version)
    if old is not None and old["sha256Sum"] != sums.sha256:
        raise Fatal(f"there is a package {version} already, with another payload")
    if app.strip("{}") == APP_ID.strip("{}") and not flags["no-check"]:
        _check(path, sums)
    name = f"{app}_{version}_{os.path.basename(path)}"
    if old is None:
        try:
            _send(service, path, name=name)
        except NotUploaded as err:
            raise Fatal(f"uploading {path} failed: {err}") from None
        body = PACKAGE.write(
            url=join_url(service.server, f"packages/{name}"),
            size=str(sums.size),
            sha1Sum=sums.sha1,
            sha256Sum=sums.sha256,
            releaseNotes=notes,
        )
        insert(service, app, version, body)
        print(f"package {version}: {sums.size} bytes, sha256 {sums.sha256}")
    else:
        print(f"package {version} is there already")
    found = _channel(service, app, channel)
    if found is None:
        channels.make(service, app, channel, version=version)
    else:
        channels.point(service, app, channel, version=version, publish=found["publish"])
    print(f"{'channel' if found else 'new channel'} {channel} offers {version}")
    return OK


def _check(path: str, sums: Sums) -> None:
    """Read a payload as update_engine will. Fatal: every machine would refuse it."""
    from coreos_py.update.payload.errors import PayloadError
    from coreos_py.update.payload.reader import Verifier

    verifier = Verifier(size=sums.size, sha256=b64decode(sums.sha256))
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                verifier.feed(block)
        verifier.finish()
    except PayloadError as err:
        text = f"update_engine would refuse {path}: {err} (error {int(err.code)})"
        raise Fatal(f"{text}; coreos payload build makes payloads") from None
    except OSError as err:
        raise Fatal(f"reading {path} failed: {reason(err)}") from None


def _package(service: Service, app: str, version: str) -> dict[str, Any] | None:
    query = [("version", version)]
    found = service.call("GET", "apps/{}/packages", PACKAGE_LIST, app, query=query)
    return next((item for item in found["items"] if item["version"] == version), None)


def _channel(service: Service, app: str, name: str) -> dict[str, Any] | None:
    found = service.call("GET", "apps/{}/channels", CHANNEL_LIST, app)
    return next((item for item in found["items"] if item["label"] == name), None)


def _send(service: Service, path: str, *, name: str = "") -> None:
    """Upload one file as a form's, under its own name or another. NotUploaded."""
    from coreos_py.cli.progress import Progress

    try:
        with open(path, "rb") as file, Progress() as progress:
            reply = _post(service, file, name or os.path.basename(path), progress)
    except OSError as err:
        raise NotUploaded(f"open {os.path.abspath(path)}: {reason(err)}") from None
    if reply[0] != 200:
        raise NotUploaded(f"error uploading file {reply[1]}")


def _post(service: Service, file: BinaryIO, name: str, progress: Progress) -> tuple[int, str]:
    boundary = os.urandom(30).hex()
    endpoint = service.endpoint("POST", _TARGET)
    headers = [
        ("User-Agent", PLAIN_USER_AGENT),
        ("Authorization", service.authorization("POST", endpoint.path + _TARGET, endpoint)),
        ("Content-Type", f"multipart/form-data; boundary={boundary}"),
    ]
    try:
        reply = service.client.upload(
            "POST",
            endpoint,
            endpoint.path + _TARGET,
            headers=headers,
            pieces=_form(file, name, boundary, progress),
        )
    except TransportError as err:
        raise NotUploaded(str(service.failed("POST", _TARGET, err))) from None
    return reply.status, reply.body.decode("utf-8", "replace")


def _form(file: BinaryIO, name: str, boundary: str, progress: Progress) -> Iterator[bytes]:
    """A form with one file, as Go's mime/multipart writes it."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    yield head.encode("utf-8", "surrogateescape")
    sent = 0
    while block := file.read(_BLOCK):
        yield block
        sent += len(block)
        progress(f"{name}: {sent // _MIB} MiB")
    yield f"\r\n--{boundary}--\r\n".encode()
