"""The directory of payloads: which names there may be, and how a file comes into it.

A file appears under its name when it is whole and on the disk, and the name has a digest in it: a
machine in the middle of its download goes on with the bytes it began with.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import tempfile
import threading
from base64 import b64encode
from collections.abc import Iterator
from typing import NamedTuple

from coreos_py.base.atomic import fsync_dir, write_all
from coreos_py.base.errors import ConfigError
from coreos_py.roller.ranges import Validators
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.payload.reader import Verified, Verifier

NAME_MAX = 255
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")
_INCOMING = ".incoming-"
_READ = 1 << 20


class Stored(NamedTuple):
    """What a package says about its file."""

    filename: str
    size: int
    sha1: str  # base64, as Omaha has them
    sha256: str


class File(NamedTuple):
    """An open payload. Whoever gets one closes `fd`."""

    fd: int
    size: int
    validators: Validators


class Payloads:
    """The files of one directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def prepare(self) -> None:
        """Make the directory; remove what earlier uploads have left unfinished. ConfigError."""
        try:
            os.makedirs(self.directory, exist_ok=True)
            for name in os.listdir(self.directory):
                if name.startswith(_INCOMING):
                    os.unlink(os.path.join(self.directory, name))
            if not os.access(self.directory, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise ConfigError(f"payloads: {self.directory}: {error.strerror}") from None

    def open(self, name: str) -> File | None:
        """The payload of this name, None when there is none."""
        if not is_name(name):
            return None
        path = os.path.join(self.directory, name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            os.close(fd)
            return None
        etag = f'"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"'
        return File(fd, found.st_size, Validators(etag, int(found.st_mtime)))

    def names(self) -> list[str]:
        """The payloads there are."""
        return [name for name in os.listdir(self.directory) if is_name(name)]

    def receive(self) -> Incoming:
        """A new file, not visible yet."""
        return Incoming(self.directory)

    def remove(self, name: str) -> None:
        """Forget a payload."""
        if is_name(name):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.directory, name))


class Incoming:
    """A payload on its way in.

    One thread works on it at a time and may wait for the disk. Another one may discard it
    meanwhile, which never waits: the one at work stops soon, and clears up.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._fd, self._path = tempfile.mkstemp(prefix=_INCOMING, dir=directory)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._at_work = threading.Lock()
        self._is_discarded = False
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of what there is so far, in base64."""
        return b64encode(self._sha256.digest()).decode()

    def write(self, data: bytes) -> None:
        """The next bytes."""
        with self._working():
            write_all(self._fd, data)
            self._sha1.update(data)
            self._sha256.update(data)
            self.size += len(data)

    def verify(self) -> Verified:
        """Read it as update_engine will; PayloadError tells what it would say."""
        verifier = Verifier(size=self.size, sha256=self._sha256.digest())
        with self._working():
            position = 0
            while data := os.pread(self._fd, _READ, position):
                self._go_on()
                verifier.feed(data)
                position += len(data)
        return verifier.finish()

    def keep(self, name: str) -> Stored:
        """Put it in its place, for good."""
        with self._working():
            os.fchmod(self._fd, 0o644)
            os.fsync(self._fd)
            os.rename(self._path, os.path.join(self._directory, name))
            self._path = ""
            fsync_dir(self._directory)
        self.discard()
        sha1 = b64encode(self._sha1.digest()).decode()
        return Stored(name, self.size, sha1, self.sha256)

    def name(self, stem: str, suffix: str) -> str:
        """A name that only this content gets."""
        return f"{slug(stem)}-{self._sha256.hexdigest()[:16]}{suffix}"

    def discard(self) -> None:
        """Forget it, unless it is kept."""
        self._is_discarded = True
        if self._at_work.acquire(blocking=False):
            self._clear()
            self._at_work.release()

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        try:
            with self._at_work:
                self._go_on()
                yield
        finally:
            if self._is_discarded:
                self.discard()

    def _go_on(self) -> None:
        if self._is_discarded:
            raise OSError(errno.ECANCELED, "given up")

    def _clear(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        path, self._path = self._path, ""
        if path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def is_name(name: str) -> bool:
    """Whether a payload may be called so; a path never is, nor a hidden file."""
    return len(name) <= NAME_MAX and _NAME.fullmatch(name) is not None


def slug(text: str) -> str:
    """A part of a name made of any text."""
    return re.sub(r"[^A-Za-z0-9._+~-]+", "-", text).strip("-._")[:100].lower() or "payload"


def trouble(error: PayloadError) -> str:
    """What update_engine would complain about, in one line."""
    return f"update_engine would refuse this payload: {error} (error {int(error.code)})"
