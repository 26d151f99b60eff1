"""`updatectl package download`: payloads of published packages, checked. Mirrors pkg.go.

Beside each payload its metadata is written, for `package create bulk` on another server.
"""

from __future__ import annotations

import os
import sys

from coreos_py.base import gojson
from coreos_py.base.errors import CoreosError
from coreos_py.cli.progress import Progress
from coreos_py.http.url import escape_path, parse_endpoint
from coreos_py.omaha.coreupdate import PACKAGE, PUBLIC_PACKAGES
from coreos_py.updatectl.packages import INFO_SUFFIX, Sums, file_name, reason
from coreos_py.updatectl.session import (
    ERROR_API,
    ERROR_USAGE,
    OK,
    PLAIN_USER_AGENT,
    Service,
    log,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from coreos_py.cli.program import Call

_REDIRECTS_MAX = 10
_MIB = 1 << 20
_REDIRECT = (301, 302, 303, 307, 308)


class NotDownloaded(CoreosError):
    """A payload that cannot be had, or is not what its package says."""


def download(call: Call) -> int:
    """Save what the filters leave. 2.1.0 ends with 0 whatever came of it."""
    flags = call.flags
    try:
        directory = _directory(flags["dir"])
        at_least = semver(flags["min-version"]) if flags.given("min-version") else None
    except ValueError as err:
        log(str(err))
        return ERROR_USAGE
    if flags.given("version") and at_least is not None:
        log("Please use either -version or -min-version, but not both.")
        return ERROR_USAGE
    service = Service(call)
    found = service.call("GET", "public/packages", PUBLIC_PACKAGES)
    chosen = [
        package | {"appId": package["appId"] or item["AppId"]}
        for item in found["items"]
        for package in item["packages"]
        if not flags.given("app-id") or item["AppId"] == flags["app-id"]
        if not flags.given("version") or package["version"] == flags["version"]
        if at_least is None or _is_at_least(package["version"], at_least)
    ]
    log(f"Downloading {len(chosen)} packages.")
    failed = sum(not _save(service, package, directory) for package in chosen)
    return ERROR_API if failed else OK


def _directory(path: str) -> str:
    path = path or os.getcwd()
    try:
        if not os.path.isdir(path):
            os.mkdir(path, 0o700)
    except FileExistsError:
        raise ValueError(f"{path} is not a directory") from None
    except OSError as err:
        raise ValueError(f"mkdir {path}: {reason(err)}") from None
    return path


def _save(service: Service, package: dict[str, Any], directory: str) -> bool:
    """One payload and its metadata; whether it went well."""
    try:
        path = os.path.join(directory, _safe(file_name(package)))
        info = _safe(f"{package['appId']}_{package['version']}_{INFO_SUFFIX}")
        _fetch(service, package, path)
        with open(os.path.join(directory, info), "w", encoding="utf-8") as file:
            file.write(gojson.dumps(PACKAGE.write(**package)))
    except (OSError, CoreosError) as err:
        text = reason(err) if isinstance(err, OSError) else str(err)
        sys.stderr.write(
            f"Error while downloading. AppId={package['appId']}, Version={package['version']}, "
            f"URL={package['url']}, Error={text}\n"
        )
        return False
    return True


def _safe(name: str) -> str:
    """A server does not choose the directory."""
    if "/" in name or "\0" in name or name.startswith("."):
        raise NotDownloaded(f"{name!r} is no name for a file")
    return name


def _fetch(service: Service, package: dict[str, Any], path: str) -> None:
    """The payload, under its name only when it is whole and right."""
    part, sums = f"{path}.part", Sums()
    try:
        with open(part, "wb") as file, Progress() as progress:
            _receive(service, package["url"], file, sums, progress)
        _check(package, sums)
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.unlink(part)


def _receive(service: Service, url: str, file: BinaryIO, sums: Sums, progress: Progress) -> None:
    for _ in range(_REDIRECTS_MAX):
        scheme, _, rest = url.partition("://")
        if scheme not in ("http", "https"):
            raise NotDownloaded(f"Cannot download package with scheme {scheme if rest else ''}")
        try:
            endpoint = parse_endpoint(url)
        except ValueError as err:
            raise NotDownloaded(str(err)) from None
        target = "/" + rest.partition("/")[2].partition("#")[0]
        path, mark, query = target.partition("?")
        target = (path if "%" in path else escape_path(path)) + mark + query
        headers = [("User-Agent", PLAIN_USER_AGENT)]
        stream = service.client.stream("GET", endpoint, target, headers=headers)
        if stream.status in _REDIRECT:
            url = _next(url, stream.fields.get(b"location", b"").decode("latin-1"))
            stream.close()
            continue
        if stream.status != 200:
            stream.close()
            raise NotDownloaded(f"the server answered with status {stream.status}")
        for piece in stream.pieces():
            file.write(piece)
            sums.feed(piece)
            progress(f"{target}: {sums.size // _MIB} MiB")
        return
    raise NotDownloaded(f"stopped after {_REDIRECTS_MAX} redirects")


def _next(url: str, location: str) -> str:
    scheme, _, rest = url.partition("://")
    if "://" in location:
        return location
    if location.startswith("//"):
        return f"{scheme}:{location}"
    if location.startswith("/"):
        return f"{scheme}://{rest.partition('/')[0]}{location}"
    raise NotDownloaded(f"redirected to {location!r}")


def _check(package: dict[str, Any], sums: Sums) -> None:
    if str(sums.size) != package["size"]:
        raise NotDownloaded(
            f"Download size does not match package size. {sums.size} != {package['size']}"
        )
    if sums.sha1 != package["sha1Sum"]:
        raise NotDownloaded(f"SHA1 sums do not match: {package['sha1Sum']} != {sums.sha1}")
    if package["sha256Sum"] and sums.sha256 != package["sha256Sum"]:
        raise NotDownloaded(f"SHA256 sums do not match: {package['sha256Sum']} != {sums.sha256}")


def _is_at_least(version: str, least: tuple[object, ...]) -> bool:
    try:
        return semver(version) >= least
    except ValueError as err:
        log(str(err))
        return False


def semver(text: str) -> tuple[object, ...]:
    """What versions are compared by, as go-semver does; ValueError in its words."""
    core, dash, pre = text.partition("+")[0].partition("-")
    parts = core.split(".")
    if len(parts) != 3:
        raise ValueError(f"{core} is not in dotted-tri format")
    for part in parts:
        if not (part.isascii() and part.isdigit()):
            raise ValueError(f'strconv.ParseInt: parsing "{part}": invalid syntax')
    words = [(0, int(w), "") if w.isdigit() else (1, 0, w) for w in pre.split(".")] if dash else []
    return (*(int(part) for part in parts), not dash, tuple(words))
