"""Hashing and checking passwords, off the event loop.

bcrypt is slow on purpose (65 ms at etcd's cost), so it runs in threads, a few at a time, and waits
its turn on the loop. The C library's crypt(3) does the work where it knows bcrypt, which the first
use finds out with a known answer; elsewhere our own does. A NUL, which crypt(3) cannot see beyond
and RFC 7617 does not allow, is in no password. Mirrors passwordStore of etcd 2.3.8's
etcdserver/auth/auth.go.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from hmac import compare_digest
from typing import TYPE_CHECKING

from coreos_py.etcd.auth import bcrypt
from coreos_py.etcd.auth.bcrypt import Hash

if TYPE_CHECKING:
    from collections.abc import Callable

    Digest = Callable[[bytes, int, str], str]

COST = 10  # etcd 2.3.8's
WORKERS_MAX = 4

_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2", None)
_CRYPT_DATA_BYTES = 256 << 10  # glibc's struct crypt_data, the largest, has 128 KiB
_PROBE = (b"\xff\xa3probe", 4, "abcdefghijklmnopqrstuu", "2GkaI2MwLY7rGaizGV9XIyv0aY9pEAm")
_chosen: list[Digest] = []


class Passwords:
    """Hashes new passwords and checks presented ones. Made and used on the event loop."""

    def __init__(self, *, cost: int = COST) -> None:
        self._cost = cost
        workers = min(max((os.cpu_count() or 1) - 1, 1), WORKERS_MAX)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="auth")
        # What waits here and not in the pool does not hold up the end of the process.
        self._turns = asyncio.Semaphore(workers)

    async def hash(self, password: bytes) -> str:
        """A new hash of a password without NUL, with a salt of its own."""
        assert is_usable(password)
        salt = bcrypt.encode(os.urandom(bcrypt.SALT_BYTES))
        digest = await self._digest(password, self._cost, salt)
        return str(Hash(self._cost, salt, digest))

    async def check(self, stored: str, password: bytes) -> bool:
        """Whether a password belongs to a stored hash; what is no hash belongs to none."""
        known = bcrypt.parse(stored)
        if known is None or not is_usable(password):
            return False
        digest = await self._digest(password, known.cost, known.salt)
        return compare_digest(digest, known.digest)

    async def _digest(self, password: bytes, cost: int, salt: str) -> str:
        loop = asyncio.get_running_loop()
        async with self._turns:
            return await loop.run_in_executor(self._pool, compute, password, cost, salt)


def is_usable(password: bytes) -> bool:
    """Whether it can be a password at all."""
    return b"\0" not in password


def compute(password: bytes, cost: int, salt: str) -> str:
    """The digest of a password. Blocks for a while; any thread."""
    if not _chosen:
        _chosen.append(choose())
    return _chosen[0](password, cost, salt) or _own(password, cost, salt)


def choose() -> Digest:
    """The C library if it can do it, else our own."""
    return from_libcrypt() or _own


def from_libcrypt() -> Digest | None:
    """crypt(3), where it exists and gives the right answer."""
    try:
        import ctypes
    except ImportError:
        return None
    for name in _LIBRARIES:
        try:
            function = ctypes.CDLL(name).crypt_r
        except (OSError, AttributeError):
            continue
        function.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
        function.restype = ctypes.c_char_p
        digest = _through(function, ctypes.create_string_buffer)
        password, cost, salt, answer = _PROBE
        if digest(password, cost, salt) == answer:
            return digest
    return None


def _through(function: Callable[..., bytes | None], new_buffer: Callable[[int], object]) -> Digest:
    def digest(password: bytes, cost: int, salt: str) -> str:
        # Of the C library's names for bcrypt, 2y is the one without a work-around for old bugs.
        setting = f"$2y${cost:02d}${salt}"
        plain = password[: bcrypt.PASSWORD_BYTES_MAX]
        found = (function(plain, setting.encode(), new_buffer(_CRYPT_DATA_BYTES)) or b"").decode()
        return found[len(setting) :]  # "" of "*0", which stands for a failure

    return digest


def _own(password: bytes, cost: int, salt: str) -> str:
    return bcrypt.digest(password, cost=cost, salt=salt)
