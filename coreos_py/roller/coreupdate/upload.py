"""`POST /package-upload`: a payload as a form, hosted under the name its sender gives it.

The record of its package comes with another request, from which it gets size and sums.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from typing import TYPE_CHECKING

from coreos_py.base.errors import WireError
from coreos_py.http.message import Request, Response
from coreos_py.roller.coreupdate.form import OneFile, boundary
from coreos_py.roller.intake import EMPTY, TEXT, Intake, Intakes
from coreos_py.roller.payloads import is_name
from coreos_py.roller.rest.gate import Needs

if TYPE_CHECKING:
    from coreos_py.roller.call import Call
    from coreos_py.roller.coreupdate.table import Door
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.payloads import Incoming, Payloads

PATH = "/package-upload"
_READ = 1 << 20


class FormUploads:
    """The kind of upload that is a form."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def takes(self, request: Request) -> bool:
        """By method and path."""
        return request.method == "POST" and request.path == PATH

    def begin(self, request: Request, intakes: Intakes) -> FormUpload:
        """One of them."""
        return FormUpload(request, intakes, self.door)


class FormUpload(Intake):
    """One payload on its way."""

    def __init__(self, request: Request, intakes: Intakes, door: Door) -> None:
        super().__init__(request, intakes)
        self._door = door
        self._payloads = intakes.payloads
        self._file = OneFile(boundary(request.get("Content-Type")))
        self._problem = ""

    def check(self, tx: Tx, call: Call) -> Response:
        """Whether the sender may, and it is a form."""
        self._door.admit(tx, call, Needs.ADMIN)
        if not boundary(call.request.get("Content-Type")):
            return Response(400, TEXT, b"a payload is uploaded as multipart/form-data\n")
        return Response(200)

    def take(self, incoming: Incoming, data: bytes) -> None:
        """Only the file is kept."""
        if self._problem:
            return
        try:
            content = self._file.feed(data)
        except WireError as err:
            self._problem = str(err)
            return
        if content:
            incoming.write(content)

    async def store(self, incoming: Incoming) -> Response:
        """Under its own name, unless another file has that."""
        name = self._file.filename or ""
        if not self._problem and not self._file.is_complete:
            self._problem = "the form ends before its file"
        if not self._problem and not is_name(name):
            self._problem = f"{name[:80]!r} is no name for a payload"
        if self._problem:
            return Response(400, TEXT, f"{self._problem}\n".encode())
        if not incoming.size:
            return Response(400, TEXT, EMPTY)
        there = await self.in_thread(digest_of, self._payloads, name)
        if there and there != incoming.sha256:
            text = f"there is another payload called {name} already\n"
            return Response(409, TEXT, text.encode())
        if not there:
            await self.in_thread(incoming.keep, name)
        return Response(200, TEXT, b"ok\n")


def digest_of(payloads: Payloads, name: str) -> str:
    """The SHA-256 of a payload that is there, in base64; "" if there is none."""
    found = payloads.open(name)
    if found is None:
        return ""
    digest, position = hashlib.sha256(), 0
    try:
        while data := os.pread(found.fd, _READ, position):
            digest.update(data)
            position += len(data)
    finally:
        os.close(found.fd)
    return b64encode(digest.digest()).decode()
