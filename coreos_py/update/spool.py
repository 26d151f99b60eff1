"""The payload while it is fetched: a file, and a verifier that has seen every byte of it. An edge.

What is in the file when the daemon starts again is read and verified anew before it is gone on
with, so a power cut in the middle of it costs nothing but the time; damage makes it begin anew.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, MutableMapping

from coreos_py.base.errors import CoreosError
from coreos_py.omaha.codes import ErrorCode
from coreos_py.omaha.response import Update
from coreos_py.update import prefs as names
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.reader import SignatureCheck, Verified, Verifier

_PIECE = 1 << 20


class Interrupted(CoreosError):
    """The daemon is told to stop."""


class Spool:
    """One payload on its way."""

    def __init__(
        self,
        path: str,
        update: Update,
        *,
        check_signature: SignatureCheck | None,
        stop: threading.Event | None = None,
    ) -> None:
        self.path = path
        self._update = update
        self._check_signature = check_signature
        self._stop = stop or threading.Event()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(path, flags, 0o600)
        self._verifier = self._new_verifier()
        self.was_resumed = False  # something was there already
        self.is_resumed = False  # and the rest is fetched now

    def _new_verifier(self) -> Verifier:
        return Verifier(
            size=self._update.size,
            sha256=self._update.digest(),
            check_signature=self._check_signature,
        )

    @property
    def received(self) -> int:
        """How many bytes are there and verified as far as they can be."""
        return self._verifier.received

    @property
    def size(self) -> int:
        """How many it will be."""
        return self._update.size

    @property
    def is_complete(self) -> bool:
        """Everything has arrived."""
        return self.received == self.size

    def prepare(self, prefs: MutableMapping[str, str]) -> None:
        """Go on with what is there of this very payload, or begin anew; PayloadError 14 if full."""
        if prefs.get(names.RESPONSE_HASH) != self._update.sha256:
            self.clear()
            prefs[names.RESPONSE_HASH] = self._update.sha256
        try:
            for data in self._content():
                self._verifier.feed(data)
        except PayloadError:
            self.clear()
        self.was_resumed = self.received > 0
        self.is_resumed = self.was_resumed and not self.is_complete
        room = os.fstatvfs(self._fd)
        missing = self._update.size - self.received
        if room.f_bavail * room.f_frsize < missing:
            text = f"{self.path}: {missing} bytes to come, not enough room"
            raise PayloadError(ErrorCode.DOWNLOAD_WRITE, text)

    def append(self, data: bytes) -> None:
        """The next bytes; PayloadError when they cannot be right, 14 when they cannot be kept."""
        at = self.received
        self._verifier.feed(data)
        try:
            view = memoryview(data)
            while view:
                done = os.pwrite(self._fd, view, at)
                view = view[done:]
                at += done
        except OSError as err:
            text = f"{self.path}: {err.strerror}"
            raise PayloadError(ErrorCode.DOWNLOAD_WRITE, text) from None

    def finish(self) -> Verified:
        """All of it is there and on the disk, and it is what was promised; PayloadError."""
        os.fsync(self._fd)
        return self._verifier.finish()

    def read(self, offset: int, size: int) -> bytes:
        """A part of the payload."""
        data = os.pread(self._fd, size, offset) if size else b""
        while len(data) < size:
            more = os.pread(self._fd, size - len(data), offset + len(data))
            if not more:
                raise OSError(5, "read behind the end", self.path)
            data += more
        return data

    def clear(self) -> None:
        """Throw away what is there."""
        os.ftruncate(self._fd, 0)
        self._verifier = self._new_verifier()

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Close and delete the file."""
        self.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _content(self) -> Iterator[bytes]:
        """What the file holds, up to the payload's size."""
        at = 0
        while at < self._update.size:
            if self._stop.is_set():
                raise Interrupted("interrupted")
            data = os.pread(self._fd, min(_PIECE, self._update.size - at), at)
            if not data:
                return
            yield data
            at += len(data)
        os.ftruncate(self._fd, self._update.size)
