"""Users, roles and permissions: what they are, how they change, and what they allow.

Pure. None and () are kept apart where etcd 2.3.8 tells `null` from `[]`, in its JSON and when it
decides whether an update changes anything. Mirrors etcdserver/auth/auth.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from coreos_py.base.errors import CoreosError

if TYPE_CHECKING:
    Names = tuple[str, ...] | None

ROOT = "root"
GUEST = "guest"


class AuthError(CoreosError):
    """A refusal, with the HTTP status it is answered with."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"auth: {text}")
        self.status = status


class Patterns(NamedTuple):
    """Key patterns: one that ends with `*` stands for all that begins so, another for itself."""

    read: Names = None
    write: Names = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no pattern at all."""
        return not (self.read or self.write)

    def grant(self, more: Patterns) -> Patterns:
        """With these added; AuthError if one is there already."""
        return Patterns(
            _granted(self.read, more.read, "read"), _granted(self.write, more.write, "write")
        )

    def revoke(self, fewer: Patterns) -> Patterns:
        """With these taken away; those that were never there do not matter."""
        return Patterns(_without(self.read, fewer.read), _without(self.write, fewer.write))

    def allow(self, key: str, *, write: bool, recursive: bool) -> bool:
        """Whether one pattern covers the key, or all that is at and below it."""
        for pattern in (self.write if write else self.read) or ():
            if pattern.endswith("*"):
                if key.startswith(pattern[:-1]):
                    return True
            elif not recursive and pattern and key == pattern:
                return True
        return False


class Role(NamedTuple):
    """A named set of permissions; `grant` and `revoke` are a request to change them."""

    role: str = ""
    kv: Patterns = Patterns()
    grant: Patterns | None = None
    revoke: Patterns | None = None

    def allows(self, key: str, *, write: bool, recursive: bool) -> bool:
        """Whether the role gives access to a key; root's always does."""
        if self.role == ROOT:
            return True
        return self.kv.allow(key, write=write, recursive=recursive)

    @property
    def is_change(self) -> bool:
        """Whether this asks to grant or revoke something."""
        return any(change is not None and not change.is_empty for change in self[2:4])

    def merged(self, change: Role) -> Role:
        """After the grants and then the revocations of `change`; AuthError if they clash."""
        kv = self.kv
        if change.grant is not None:
            kv = kv.grant(change.grant)
        if change.revoke is not None:
            kv = kv.revoke(change.revoke)
        return Role(self.role, kv)


class User(NamedTuple):
    """A user; `password` is the hash in the store and plain text in a request."""

    user: str = ""
    password: str = ""
    roles: Names = None
    grant: Names = None
    revoke: Names = None

    def merged(self, change: User, *, hashed: str) -> User:
        """After a change of roles and, unless `hashed` is empty, of the password's hash."""
        roles = dict.fromkeys(self.roles or ())
        for role in change.grant or ():
            if role in roles:
                raise AuthError(409, f"Granting duplicate role {role} for user {change.user}")
            roles[role] = None
        for role in change.revoke or ():
            if role not in roles:
                raise AuthError(409, f"Revoking ungranted role {role} for user {change.user}")
            del roles[role]
        return User(self.user, hashed or self.password, tuple(sorted(roles)))

    def with_root(self) -> User:
        """The user root always has the role root."""
        if self.user != ROOT or ROOT in (self.roles or ()):
            return self
        return self._replace(roles=(*(self.roles or ()), ROOT))


EVERYTHING = Patterns(("/*",), ("/*",))
ROOT_ROLE = Role(ROOT, EVERYTHING)
GUEST_ROLE = Role(GUEST, EVERYTHING)


def _granted(have: Names, more: Names, kind: str) -> tuple[str, ...]:
    found = dict.fromkeys(have or ())
    for pattern in more or ():
        if pattern in found:
            raise AuthError(409, f"Granting duplicate {kind} permission {pattern}")
        found[pattern] = None
    return tuple(sorted(found))


def _without(have: Names, fewer: Names) -> tuple[str, ...]:
    return tuple(sorted(set(have or ()).difference(fewer or ())))
