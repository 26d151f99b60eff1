"""The tree `/2`: users, roles and the switch, read from the store and written through the log.

The entries are those of etcd 2.3.8, so that either program goes on where the other stopped; the
first write of a process makes sure that the tree is there. Mirrors etcdserver/auth/auth.go and
auth_requests.go.
"""

from __future__ import annotations

import logging
from time import time_ns
from typing import TYPE_CHECKING

from coreos_py.base.errors import KEY_NOT_FOUND, NODE_EXIST, StoreError
from coreos_py.base.golog import NOTICE
from coreos_py.etcd.auth import codec
from coreos_py.etcd.auth.gate import ENABLED, PREFIX, ROLES, USERS
from coreos_py.etcd.auth.model import GUEST, GUEST_ROLE, ROOT, ROOT_ROLE, AuthError, Role, User
from coreos_py.etcd.auth.passwords import is_usable
from coreos_py.etcd.pb import Request
from coreos_py.store.node import sort_keys

if TYPE_CHECKING:
    from coreos_py.etcd.auth.passwords import Passwords
    from coreos_py.etcd.server import Server

log = logging.getLogger("auth")


class Accounts:
    """Reads are this member's view. Everything raises AuthError, StoreError, or ValueError for a
    damaged record."""

    def __init__(self, server: Server, passwords: Passwords) -> None:
        self._server = server
        self._store = server.store
        self._passwords = passwords
        self._tree_is_there = False

    # -- the switch ------------------------------------------------------------------------------

    def enabled(self) -> bool:
        """Whether auth is on."""
        try:
            return codec.read_enabled(self._read(ENABLED))
        except (StoreError, ValueError):
            return False

    async def enable(self) -> None:
        """Turn auth on; guests keep access to everything unless there is a guest role already."""
        if self.enabled():
            raise AuthError(409, "already enabled")
        try:
            self.user(ROOT)
        except (AuthError, StoreError, ValueError):
            raise AuthError(409, "No root user available, please create one") from None
        try:
            self.role(GUEST)
        except (AuthError, StoreError, ValueError):
            log.info("no guest role access found, creating default")
            await self.create_role(GUEST_ROLE)
        await self._put(ENABLED, "true", prev_exist=True)
        log.log(NOTICE, "auth: enabled auth")

    async def disable(self) -> None:
        """Turn auth off."""
        if not self.enabled():
            raise AuthError(409, "already disabled")
        await self._put(ENABLED, "false", prev_exist=True)
        log.log(NOTICE, "auth: disabled auth")

    # -- users -----------------------------------------------------------------------------------

    def users(self) -> list[str]:
        """The names of all users."""
        return self._names(USERS)

    def user(self, name: str) -> User:
        """One user."""
        try:
            text = self._read(f"{USERS}/{name}")
        except StoreError as error:
            raise _missing(error, f"User {name} does not exist.") from None
        return codec.read_user(text).with_root()

    async def create_user(self, user: User) -> User:
        """A new user, with the hash of its password."""
        user = user.with_root()
        if not user.password:
            raise AuthError(400, f"Cannot create user {user.user} with an empty password")
        user = user._replace(password=await self._hash(user))
        try:
            text = codec.write_user(user)
            await self._put(f"{USERS}/{user.user}", text, prev_exist=False)
        except StoreError as error:
            raise _existing(error, f"User {user.user} already exists.") from None
        log.log(NOTICE, "created user %s", user.user)
        return user

    async def create_or_update_user(self, user: User) -> tuple[User, bool]:
        """A user that is there afterwards, and whether it is new."""
        try:
            self.user(user.user)
        except (AuthError, StoreError, ValueError):
            return await self.create_user(user), True
        return await self.update_user(user), False

    async def update_user(self, change: User) -> User:
        """A user with other roles or another password."""
        old = self.user(change.user)
        hashed = await self._hash(change) if change.password else ""
        new = old.merged(change, hashed=hashed)
        if new == old:
            raise AuthError(400, "User not updated. Use grant/revoke/password to update the user.")
        await self._put(f"{USERS}/{change.user}", codec.write_user(new), prev_exist=True)
        log.log(NOTICE, "updated user %s", change.user)
        return new

    async def delete_user(self, name: str) -> None:
        """No such user any more."""
        if self.enabled() and name == ROOT:
            raise AuthError(403, "Cannot delete root user while auth is enabled.")
        try:
            await self._delete(f"{USERS}/{name}")
        except StoreError as error:
            raise _missing(error, f"User {name} does not exist") from None
        log.log(NOTICE, "deleted user %s", name)

    async def _hash(self, user: User) -> str:
        password = user.password.encode("utf-8", "surrogateescape")
        if not is_usable(password):
            raise AuthError(400, f"Cannot use a password with a NUL byte for user {user.user}")
        return await self._passwords.hash(password)

    # -- roles -----------------------------------------------------------------------------------

    def roles(self) -> list[str]:
        """The names of all roles, root's too."""
        return sort_keys([ROOT, *self._names(ROLES)])

    def role(self, name: str) -> Role:
        """One role."""
        if name == ROOT:
            return ROOT_ROLE
        try:
            text = self._read(f"{ROLES}/{name}")
        except StoreError as error:
            raise _missing(error, f"Role {name} does not exist.") from None
        return codec.read_role(text)

    async def create_role(self, role: Role) -> None:
        """A new role."""
        _refuse_root(role.role)
        try:
            await self._put(f"{ROLES}/{role.role}", codec.write_role(role), prev_exist=False)
        except StoreError as error:
            raise _existing(error, f"Role {role.role} already exists.") from None
        log.log(NOTICE, "created new role %s", role.role)

    async def update_role(self, change: Role) -> Role:
        """A role with other permissions."""
        _refuse_root(change.role)
        old = self.role(change.role)
        new = old.merged(change)
        if new == old:
            raise AuthError(400, "Role not updated. Use grant/revoke to update the role.")
        await self._put(f"{ROLES}/{change.role}", codec.write_role(new), prev_exist=True)
        log.log(NOTICE, "updated role %s", change.role)
        return new

    async def delete_role(self, name: str) -> None:
        """No such role any more."""
        _refuse_root(name)
        try:
            await self._delete(f"{ROLES}/{name}")
        except StoreError as error:
            raise _missing(error, f"Role {name} doesn't exist.") from None
        log.log(NOTICE, "deleted role %s", name)

    # -- the tree --------------------------------------------------------------------------------

    def _read(self, path: str) -> str:
        value = self._store.get(path, now_ns=time_ns()).node.value
        if value is None:
            raise ValueError(f"{path} is a directory")
        return value

    def _names(self, path: str) -> list[str]:
        try:
            listing = self._store.get(path, now_ns=time_ns()).node
        except StoreError as error:
            if error.code == KEY_NOT_FOUND:
                return []
            raise
        return sort_keys([node.key.rpartition("/")[2] for node in listing.nodes])

    async def _put(self, path: str, value: str, *, prev_exist: bool) -> None:
        await self._make_tree()
        await self._propose("PUT", path, value=value, prev_exist=prev_exist)

    async def _delete(self, path: str) -> None:
        await self._make_tree()
        await self._propose("DELETE", path, prev_exist=True)

    async def _make_tree(self) -> None:
        if self._tree_is_there:
            return
        for path in (PREFIX, f"{USERS}/", f"{ROLES}/"):
            await self._propose_new(path, is_dir=True)
        await self._propose_new(ENABLED, value="false")
        self._tree_is_there = True

    async def _propose_new(self, path: str, *, value: str = "", is_dir: bool = False) -> None:
        try:
            await self._propose("PUT", path, value=value, is_dir=is_dir, prev_exist=False)
        except StoreError as error:
            if error.code != NODE_EXIST:
                log.error("failed to create auth directories in the store (%s)", error)
                raise

    async def _propose(
        self, method: str, path: str, *, value: str = "", is_dir: bool = False, prev_exist: bool
    ) -> None:
        request = Request(
            self._server.next_id(), method, path, value, is_dir, prev_exist=prev_exist
        )
        await self._server.propose_and_wait(request)


def _refuse_root(name: str) -> None:
    if name == ROOT:
        raise AuthError(403, f"Cannot modify role {name}: is root role.")


def _missing(error: StoreError, text: str) -> AuthError | StoreError:
    return AuthError(404, text) if error.code == KEY_NOT_FOUND else error


def _existing(error: StoreError, text: str) -> AuthError | StoreError:
    return AuthError(409, text) if error.code == NODE_EXIST else error
