"""Uploads of payloads: a body that becomes a file, and then what a package's record says of it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from coreos_py.http.message import Request, Response
from coreos_py.roller.intake import EMPTY, TEXT, Intake, Intakes
from coreos_py.roller.payloads import Incoming, Stored, trouble
from coreos_py.roller.records import Action, Package, PackageType
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.reader import Verified

if TYPE_CHECKING:
    from coreos_py.roller.call import Call
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.rest.api import Api

_PATH = re.compile(r"/api/apps/([^/]+)/packages/([^/]+)/payload")
_METHODS = ("POST", "PUT")
_SUFFIXES = {PackageType.COREOS: ".gz"}


class PackageUploads:
    """The kind of upload that is a package's payload."""

    def __init__(self, records: Api) -> None:
        self._records = records

    def takes(self, request: Request) -> bool:
        """By method and path."""
        return request.method in _METHODS and _PATH.fullmatch(request.path) is not None

    def begin(self, request: Request, intakes: Intakes) -> Upload:
        """One of them."""
        return Upload(request, intakes, self._records)


class Upload(Intake):
    """One payload on its way to its package."""

    def __init__(self, request: Request, intakes: Intakes, records: Api) -> None:
        super().__init__(request, intakes)
        self._records = records
        found = _PATH.fullmatch(request.path)
        assert found is not None
        self._app, self._package_id = found.groups()
        self._package: Package | None = None

    def check(self, tx: Tx, call: Call) -> Response:
        """Whether the sender may, and the package is there."""
        self._package = self._target(tx, call)
        return Response(200)

    async def store(self, incoming: Incoming) -> Response:
        """Check the file, keep it, and say so in the package's record."""
        package = self._package
        assert package is not None
        verified: Verified | None = None
        wants_check = _option(self.request, "check") != "no"
        if package.type == PackageType.COREOS and wants_check:
            try:
                verified = await self.in_thread(incoming.verify)
            except PayloadError as error:
                return Response(400, TEXT, f"{trouble(error)}\n".encode())
        elif not incoming.size:
            return Response(400, TEXT, EMPTY)
        name = incoming.name(package.version, self._suffix(package))
        stored = await self.in_thread(incoming.keep, name)

        def fill(tx: Tx, call: Call) -> Response:
            filled = with_payload(self._target(tx, call), stored, call, verified=verified)
            return self._records.filled(tx, call, filled)

        return await self.in_database(fill, write=True)

    def _target(self, tx: Tx, call: Call) -> Package:
        """The package whose payload this becomes; an Undo if the sender may not, or has none."""
        return self._records.target(tx, call, app=self._app, package=self._package_id)

    def _suffix(self, package: Package) -> str:
        given = os.path.splitext(_option(self.request, "filename"))[1]
        if re.fullmatch(r"\.[A-Za-z0-9]{1,10}", given):
            return given
        return _SUFFIXES.get(PackageType(package.type), ".bin")


def with_payload(
    package: Package, stored: Stored, call: Call, *, verified: Verified | None
) -> Package:
    """The package with what is known about its file now."""
    action = package.action
    if package.type == PackageType.COREOS:
        fresh = action or Action(call.new_id(), "", call.now_us)
        size = str(verified.metadata_size) if verified is not None else fresh.metadata_size
        action = fresh._replace(sha256=stored.sha256, metadata_size=size)
    return package._replace(
        url=f"{call.base_url}/packages/",
        filename=stored.filename,
        size=str(stored.size),
        hash=stored.sha1,
        action=action,
    )


def _option(request: Request, name: str) -> str:
    return parse_qs(request.query).get(name, [""])[0]
