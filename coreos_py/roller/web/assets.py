"""The dashboard's files, from the package or another directory, and the headers they go with.

Only names of the shape `dir/name.ext` are looked up, so no path leads anywhere else. Everything is
open to everybody: the pages hold no data, which only /api has.
"""

from __future__ import annotations

import os
import re
import zipfile
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from coreos_py.http.message import Response

if TYPE_CHECKING:
    from typing import Any

    from coreos_py.http.message import Request

INDEX = "index.html"
TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# Trusted types: not even a mistake in our own scripts can make markup of what machines have sent.
POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_COMMON = (
    ("Cache-Control", "no-cache"),
    ("Content-Security-Policy", POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)
_NAME = re.compile(r"/((?:[a-z0-9-]+/)?[a-z0-9-]+\.([a-z]+))")
_PACKAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")


class File(NamedTuple):
    """A file as it goes out."""

    headers: tuple[tuple[str, str], ...]
    etag: str
    body: bytes


class Assets:
    """Answers requests for the dashboard's files; `directory` replaces those of the package."""

    def __init__(self, directory: str = "") -> None:
        self._directory = directory
        self._known: dict[str, File] = {}

    def preload(self) -> None:
        """Read the package's files now: the archive they are in may be replaced meanwhile."""
        if not self._directory:
            for name in _packaged():
                match = _NAME.fullmatch(f"/{name}")
                if match is not None and match[2] in TYPES:
                    self._find(match)

    def route(self, request: Request) -> Response | None:
        """The answer to a request for a file, None if there is no such file."""
        path = "/" + INDEX if request.path == "/" else unquote(request.path)
        match = _NAME.fullmatch(path)
        if match is None or match[2] not in TYPES:
            return None
        if request.method not in ("GET", "HEAD"):
            return Response(405, [("Allow", "GET, HEAD")]) if self._find(match) else None
        file = self._find(match)
        if file is None:
            return None
        if _matches(request.get("If-None-Match"), file.etag):
            return Response(304, file.headers)
        return Response(200, file.headers, file.body)

    def _find(self, match: re.Match[str]) -> File | None:
        name = match[1]
        file = self._known.get(name)
        if file is None:
            try:
                body = self._read(name)
            except OSError:
                return None
            etag = f'"{sha256(body).hexdigest()[:32]}"'
            headers = (("Content-Type", TYPES[match[2]]), ("ETag", etag), *_COMMON)
            file = File(headers, etag, body)
            if not self._directory:
                self._known[name] = file
        return file

    def _read(self, name: str) -> bytes:
        if self._directory:
            with open(os.path.join(self._directory, *name.split("/")), "rb") as file:
                return file.read()
        loader: Any = __spec__.loader
        data: bytes = loader.get_data(os.path.join(_PACKAGE, *name.split("/")))
        return data


def _packaged() -> list[str]:
    """The names of the package's files, in a directory or in the archive."""
    root = os.path.abspath(os.path.join(_PACKAGE, *[os.pardir] * 4))
    if not os.path.isfile(root):
        return [
            os.path.relpath(os.path.join(folder, name), _PACKAGE)
            for folder, _, names in os.walk(_PACKAGE)
            for name in names
        ]
    inside = f"{os.path.relpath(_PACKAGE, root)}/"
    with zipfile.ZipFile(root) as archive:
        return [name.removeprefix(inside) for name in archive.namelist() if name.startswith(inside)]


def _matches(header: str, etag: str) -> bool:
    """Whether If-None-Match names this file; a proxy may have made the tag a weak one."""
    tags = [item.strip().removeprefix("W/") for item in header.split(",")]
    return etag in tags or tags == ["*"]
