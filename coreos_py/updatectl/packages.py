"""`updatectl package`: list, create, delete. Mirrors pkg.go."""

from __future__ import annotations

import binascii
import os

from coreos_py.base import gojson, jsonload
from coreos_py.omaha.coreupdate import PACKAGE, PACKAGE_LIST, BadRecord
from coreos_py.updatectl.session import ERROR_API, ERROR_USAGE, OK, Fatal, Service, log, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from coreos_py.cli.program import Call

_PATH = "apps/{}/packages/{}"
_BLOCK = 1 << 20
_META_MAX = 1 << 20
INFO_SUFFIX = "info.json"


class Sums:
    """Size, SHA-1 and SHA-256 of a payload; feed it."""

    __slots__ = ("_sha1", "_sha256", "size")

    def __init__(self) -> None:
        from hashlib import sha1, sha256

        self._sha1 = sha1(usedforsecurity=False)
        self._sha256 = sha256()
        self.size = 0

    def feed(self, data: bytes) -> None:
        """The next piece."""
        self._sha1.update(data)
        self._sha256.update(data)
        self.size += len(data)

    @property
    def sha1(self) -> str:
        """In base64."""
        return binascii.b2a_base64(self._sha1.digest(), newline=False).decode()

    @property
    def sha256(self) -> str:
        """In base64."""
        return binascii.b2a_base64(self._sha256.digest(), newline=False).decode()


def list_all(call: Call) -> int:
    """The packages of an application."""
    found = Service(call).call("GET", "apps/{}/packages", PACKAGE_LIST, call.flags["app-id"])
    return _show(found["items"])


def delete(call: Call) -> int:
    """One less."""
    flags = call.flags
    service = Service(call)
    return _show([service.call("DELETE", _PATH, PACKAGE, flags["app-id"], flags["version"])])


def create(call: Call) -> int:
    """One more; what is sent is shown."""
    flags = call.flags
    sums = measure(flags["file"])
    meta = _metadata(flags["meta"]) if flags["meta"] else {}
    body = PACKAGE.write(
        url=flags["url"],
        size=str(sums.size),
        sha1Sum=sums.sha1,
        sha256Sum=sums.sha256,
        metadataSignatureRsa=meta.get("metadata_signature_rsa", ""),
        metadataSize=meta.get("metadata_size", ""),
        releaseNotes=read_notes(flags["release-notes"]),
    )
    print(_indented(body))
    return _show([insert(Service(call), flags["app-id"], flags["version"], body)])


def insert(service: Service, app: str, version: str, body: dict[str, Any]) -> dict[str, Any]:
    """Add a package; what the server answers."""
    return service.call("POST", _PATH, PACKAGE, app, version, body=body)


def measure(path: str) -> Sums:
    """Read a payload. Fatal."""
    sums = Sums()
    try:
        os.stat(path)
    except OSError as err:
        raise Fatal(f"stat of {path} failed: stat {path}: {reason(err)}") from None
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                sums.feed(block)
    except OSError as err:
        verb = "read" if os.path.isdir(path) else "open"
        raise Fatal(f"reading {path} failed: {verb} {path}: {reason(err)}") from None
    return sums


def read_notes(path: str) -> str:
    """The release notes of a file; none without one. Fatal."""
    return _read(path).decode("utf-8", "replace") if path else ""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_META_MAX)
    except OSError as err:
        raise Fatal(f"reading {path} failed: open {path}: {reason(err)}") from None


def _metadata(path: str) -> dict[str, str]:
    try:
        found = jsonload.loads(_read(path))
    except ValueError as err:
        raise Fatal(f"reading {path} failed: {err}") from None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise Fatal(f"reading {path} failed: not a JSON object of strings")
    return found


def create_bulk(call: Call) -> int:
    """What `package download` wrote; a bad file does not keep the others out.

    2.1.0 ends with 0 whatever came of them.
    """
    directory = call.flags["dir"] or os.getcwd()
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(INFO_SUFFIX))
    except OSError as err:
        log(f"open {directory}: {reason(err)}")
        return ERROR_USAGE
    paths = [os.path.join(directory, name) for name in names]
    paths = [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]
    service, failed, base_url = Service(call), 0, call.flags["base-url"]
    for path in paths:
        try:
            _create_from(path, service, base_url)
        except Fatal as err:
            failed += 1
            log(f"Error while creating package. Error={err}")
    log(f"Package metadata uploaded. Total={len(paths)} Errors={failed}")
    if base_url:
        log(f"Please upload payloads to {base_url}.")
    return ERROR_API if failed else OK


def _create_from(path: str, service: Service, base_url: str) -> None:
    try:
        package = PACKAGE.read(jsonload.loads(_read(path)))
    except (BadRecord, ValueError) as err:
        raise Fatal(str(err)) from None
    app, version = package["appId"], package["version"]
    log(f"Creating package with AppId={app} and Version={version}")
    if base_url:
        package["url"] = join_url(base_url, file_name(package))
    insert(service, app, version, PACKAGE.write(**package))


def file_name(package: dict[str, Any]) -> str:
    """How a downloaded payload is called: by application, version and name."""
    last = package["url"].rstrip("/").rpartition("/")[2]
    return f"{package['appId']}_{package['version']}_{last or '.'}"


def join_url(base: str, name: str) -> str:
    """A file below a URL, with one slash between."""
    head, mark, query = base.partition("?")
    return f"{head.rstrip('/')}/{name}{mark}{query}"


def reason(err: OSError) -> str:
    """Why, in Go's words."""
    return (err.strerror or str(err)).lower()


def _indented(body: dict[str, Any]) -> str:
    lines = [f' "{name}": {gojson.dumps(value)}' for name, value in body.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def _show(packages: Iterable[dict[str, Any]]) -> int:
    rows = [f"{item['version']}\t{item['url']}\t{item['size']}\n" for item in packages]
    show("Version\tURL\tSize\n" + "".join(rows))
    return OK
