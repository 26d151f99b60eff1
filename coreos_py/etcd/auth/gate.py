"""Who may do what: the check before every request.

Auth is off: one look-up. Auth is on: credentials that were verified once are known by a keyed
digest of the Authorization header together with the user's stored hash, so nothing presented is
kept, and a changed password counts from the next request on. What the tree `/2` says is kept with
the node that says it: a write puts a new node in the old one's place, so no write and no snapshot
has to tell anybody. Mirrors hasKeyPrefixAccess and hasRootAccess of etcd 2.3.8's
etcdhttp/client_auth.go.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import os
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from coreos_py.base.errors import UNAUTHORIZED, StoreError
from coreos_py.etcd import replies
from coreos_py.etcd.auth import codec
from coreos_py.etcd.auth.deferred import Deferred
from coreos_py.etcd.auth.model import GUEST, ROOT, ROOT_ROLE, Role, User
from coreos_py.http.message import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcd.auth.passwords import Passwords
    from coreos_py.http.exchange import Pending
    from coreos_py.http.message import Request
    from coreos_py.store.node import File
    from coreos_py.store.store import Store

    Again = Callable[[], Response | Pending]

T = TypeVar("T")

PREFIX = "/2"
ENABLED = "/2/enabled"
USERS = "/2/users"
ROLES = "/2/roles"
DENIED = "Insufficient credentials"
INTERNAL = "Internal Server Error"
KNOWN_MAX = 4096
"""How many credentials are remembered, right ones and wrong ones each."""

_READS = ("GET", "HEAD")

log = logging.getLogger("etcdhttp")
auth_log = logging.getLogger("auth")


class Verdict(NamedTuple):
    """What became of one Authorization header: for whom, against which hash, and the outcome."""

    name: str
    stored: str
    ok: bool


class Claim(NamedTuple):
    """Credentials that are to be verified."""

    digest: bytes
    name: str
    stored: str
    password: bytes


class Gate:
    """Answers from the store; verifies passwords in the background."""

    def __init__(self, store: Store, passwords: Passwords, *, cluster_header: bytes) -> None:
        self._peek = store.peek
        self._stats = store.stats
        self._passwords = passwords
        self._cluster_header = cluster_header
        self._switch: File | None = None
        self._on = False
        self._secret = os.urandom(blake2b.MAX_KEY_SIZE)
        self._right: dict[bytes, Verdict] = {}
        self._wrong: dict[bytes, Verdict] = {}
        self._running: dict[bytes, asyncio.Task[None]] = {}
        self._users: dict[str, tuple[File, User | None]] = {}
        self._roles: dict[str, tuple[File, Role | None]] = {}

    def is_on(self) -> bool:
        """Whether auth is enabled. Counted as a read, as etcd 2.3.8 makes one every time."""
        switch = self._peek(ENABLED)
        if switch is None:
            self._stats.gets_fail += 1
            return False
        self._stats.gets_success += 1
        if switch is not self._switch:
            self._switch = switch
            self._on = _enabled(switch)
        return self._on

    def check_key(
        self,
        request: Request,
        key: str,
        *,
        recursive: bool,
        streams: bool,
        extra: bytes,
        again: Again,
    ) -> Response | Pending | None:
        """None if the request may go on; else what to reply, which may be to call `again` later."""
        write = request.method not in _READS
        header = request.headers.get(b"authorization")
        if not header:
            return self._check_guest(key, write=write)
        found = self._identify(header)
        if isinstance(found, Claim):
            return self._later(found, Deferred(extra, streams=streams), again)
        if found is None:
            return self._refuse_key()
        for name in found.roles or ():
            role = self.role(name)
            if role is not None and role.allows(key, write=write, recursive=recursive):
                return None
        log.warning("auth: invalid access for user %s on key %s.", found.user, key)
        return self._refuse_key()

    def check_root(
        self, request: Request, path: str, *, extra: bytes, again: Again
    ) -> Response | Pending | None:
        """The same for what only root may do."""
        header = request.headers.get(b"authorization")
        found = self._identify(header) if header else None
        if isinstance(found, Claim):
            return self._later(found, Deferred(extra), again)
        if found is not None and ROOT in (found.roles or ()):
            return None
        if found is not None:
            text = "auth: user %s does not have the %s role for resource %s."
            log.warning(text, found.user, ROOT, path)
        return replies.message(401, DENIED)

    def user(self, name: str) -> User | None:
        """A user as the store has it now. Counted as a read, and so is a role."""
        file = self._count(self._peek(f"{USERS}/{name}"))
        return _current(self._users, name, file=file, read=_read_user)

    def role(self, name: str) -> Role | None:
        """A role as the store has it now; root's is built in."""
        if name == ROOT:
            return ROOT_ROLE
        file = self._count(self._peek(f"{ROLES}/{name}"))
        return _current(self._roles, name, file=file, read=codec.read_role)

    def _count(self, file: File | None) -> File | None:
        if file is None:
            self._stats.gets_fail += 1
        else:
            self._stats.gets_success += 1
        return file

    def _check_guest(self, key: str, *, write: bool) -> Response | None:
        """A guest's recursive requests need no pattern with a star in etcd 2.3.8."""
        role = self.role(GUEST)
        if role is not None and role.allows(key, write=write, recursive=False):
            return None
        log.warning("auth: invalid access for unauthenticated user on resource %s.", key)
        return self._refuse_key()

    # -- credentials -----------------------------------------------------------------------------

    def _identify(self, header: bytes) -> User | Claim | None:
        """The user an Authorization header proves, or what has to be verified for that."""
        digest = blake2b(header, key=self._secret, digest_size=32).digest()
        verdict = self._right.get(digest) or self._wrong.get(digest)
        if verdict is not None:
            user = self.user(verdict.name)
            if user is not None and user.password == verdict.stored:
                if verdict.ok:
                    return user
                log.warning("auth: incorrect password for user: %s.", verdict.name)
                return None
            self._right.pop(digest, None)
            self._wrong.pop(digest, None)
        credentials = parse_basic(header)
        if credentials is None:
            log.warning("auth: malformed basic auth encoding")
            return None
        name, password = credentials
        user = self.user(name)
        if user is None:
            log.warning("auth: no such user: %s.", name)
            return None
        return Claim(digest, name, user.password, password)

    def _later(self, claim: Claim, reply: Deferred, again: Again) -> Pending:
        self._stats.gets_success -= 2  # the switch and the user: they are looked at again
        task = self._running.get(claim.digest)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._verify(claim))
            self._running[claim.digest] = task

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                error = task.exception()
                reply.settle(again if error is None else partial(_failed, error))

        task.add_done_callback(done)
        return reply

    async def _verify(self, claim: Claim) -> None:
        try:
            ok = await self._passwords.check(claim.stored, claim.password)
        finally:
            del self._running[claim.digest]
        known = self._right if ok else self._wrong
        if len(known) >= KNOWN_MAX:
            del known[next(iter(known))]
        known[claim.digest] = Verdict(claim.name, claim.stored, ok)

    def _refuse_key(self) -> Response:
        return replies.store_error(StoreError(UNAUTHORIZED, DENIED), headers=self._cluster_header)


def parse_basic(header: bytes) -> tuple[str, bytes] | None:
    """User and password of a Basic Authorization header, None if it is none."""
    scheme, space, encoded = header[:5], header[5:6], header[6:]
    if scheme.lower() != b"basic" or space != b" " or not _is_padded(encoded):
        return None
    try:
        plain = binascii.a2b_base64(encoded, strict_mode=True)
    except binascii.Error:
        return None
    name, colon, password = plain.partition(b":")
    return (name.decode("utf-8", "surrogateescape"), password) if colon else None


def _is_padded(encoded: bytes) -> bool:
    """Whether base 64 has the padding it needs and no more; Python does not look."""
    return len(encoded) % 4 == 0 and not encoded.endswith(b"===")


def _current(
    known: dict[str, tuple[File, T | None]],
    name: str,
    *,
    file: File | None,
    read: Callable[[str], T],
) -> T | None:
    """What a node says, read again only when it is not the node it was."""
    if file is None:
        known.pop(name, None)
        return None
    kept = known.get(name)
    if kept is not None and kept[0] is file:
        return kept[1]
    try:
        found = read(file.value)
    except ValueError as error:
        auth_log.error("%s is damaged (%s)", file.key, error)
        known[name] = (file, None)
        return None
    known[name] = (file, found)
    return found


def _read_user(text: str) -> User:
    return codec.read_user(text).with_root()


def _enabled(switch: File) -> bool:
    try:
        return codec.read_enabled(switch.value)
    except ValueError as error:
        auth_log.error("internal bookkeeping value for enabled isn't valid JSON (%s)", error)
        return False


def _failed(error: BaseException) -> Response:
    auth_log.error("cannot verify a password (%s: %s)", type(error).__name__, error)
    return replies.message(500, INTERNAL)
