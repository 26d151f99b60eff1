"""What patterns allow, and how users and roles change."""

from __future__ import annotations

import pytest

from coreos_py.etcd.auth.model import (
    EVERYTHING,
    GUEST_ROLE,
    ROOT_ROLE,
    AuthError,
    Patterns,
    Role,
    User,
)

PLAIN, RECURSIVE = False, True

ALLOWED = [
    # pattern, key, recursive, allowed
    ("/foo", "/foo", PLAIN, True),
    ("/foo", "/foo/", PLAIN, False),
    ("/foo", "/foo/bar", PLAIN, False),
    ("/foo", "/fo", PLAIN, False),
    ("/foo", "/foo", RECURSIVE, False),
    ("/foo*", "/foo", PLAIN, True),
    ("/foo*", "/foobar", PLAIN, True),
    ("/foo*", "/foo/bar/baz", PLAIN, True),
    ("/foo*", "/fo", PLAIN, False),
    ("/foo*", "/foo", RECURSIVE, True),
    ("/foo*", "/foo/x", RECURSIVE, True),
    ("/foo/*", "/foo", PLAIN, False),
    ("/foo/*", "/foo/", PLAIN, True),
    ("/foo/*", "/foo", RECURSIVE, False),
    ("/foo/*", "/foo/", RECURSIVE, True),
    ("/foo/*", "/foo/bar*", RECURSIVE, True),
    ("/*", "/", PLAIN, True),
    ("/*", "", PLAIN, False),
    ("/*", "", RECURSIVE, False),
    ("/*", "/a", RECURSIVE, True),
    ("*", "", PLAIN, True),
    ("*", "", RECURSIVE, True),
    ("", "", PLAIN, False),
    ("", "/a", PLAIN, False),
    ("/a*b", "/a*b", PLAIN, True),
    ("/a*b", "/axb", PLAIN, False),
    ("/a*b", "/a*b", RECURSIVE, False),
    ("/a**", "/a*", PLAIN, True),
    ("/a**", "/ab", PLAIN, False),
    ("/ä*", "/äb", PLAIN, True),
]


@pytest.mark.parametrize(("pattern", "key", "recursive", "allowed"), ALLOWED)
def test_patterns(pattern, key, recursive, allowed):
    for write in (False, True):
        kv = Patterns(write=(pattern,)) if write else Patterns(read=(pattern,))
        assert kv.allow(key, write=write, recursive=recursive) is allowed
        assert kv.allow(key, write=not write, recursive=recursive) is False
        more = Patterns(("/never", *(kv.read or ())), ("/never", *(kv.write or ())))
        assert more.allow(key, write=write, recursive=recursive) is allowed


@pytest.mark.parametrize("names", [None, ()])
def test_no_patterns_allow_nothing(names):
    assert not Patterns(names, names).allow("/a", write=False, recursive=False)
    assert Patterns(names, names).is_empty


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("recursive", [False, True])
def test_root_may_do_everything(write, recursive):
    for key in ("", "/", "/a/b"):
        assert ROOT_ROLE.allows(key, write=write, recursive=recursive)
    assert Role("root").allows("/a", write=write, recursive=recursive)
    assert not GUEST_ROLE.allows("", write=write, recursive=recursive)
    assert GUEST_ROLE.allows("/", write=write, recursive=recursive)


A, B = Patterns(("/a",), ("/w",)), Patterns(("/b", "/a"))

ROLES = [
    (Role("r"), Role("r"), Role("r")),
    (Role("r"), Role("r", grant=Patterns()), Role("r", Patterns((), ()))),
    (Role("r"), Role("r", grant=A), Role("r", A)),
    (Role("r"), Role("r", grant=B), Role("r", Patterns(("/a", "/b"), ()))),
    (Role("r", A), Role("r", grant=Patterns(("/0",))), Role("r", Patterns(("/0", "/a"), ("/w",)))),
    (Role("r", A), Role("r", revoke=Patterns(("/a", "/x"))), Role("r", Patterns((), ("/w",)))),
    (Role("r", A), Role("r", grant=Patterns(("/x",)), revoke=Patterns(("/x",))), Role("r", A)),
    (Role("r", A), Role("r", grant=Patterns(("/b",)), revoke=A), Role("r", Patterns(("/b",), ()))),
    (
        Role("r", Patterns(("/a", "/a"))),
        Role("r", revoke=Patterns()),
        Role("r", Patterns(("/a",), ())),
    ),
]


@pytest.mark.parametrize(("old", "change", "new"), ROLES)
def test_roles_change(old, change, new):
    assert old.merged(change) == new


@pytest.mark.parametrize(
    ("old", "grant", "problem"),
    [
        (A, A, "auth: Granting duplicate read permission /a"),
        (A, Patterns(write=("/w",)), "auth: Granting duplicate write permission /w"),
        (Patterns(), Patterns(("/q", "/q")), "auth: Granting duplicate read permission /q"),
    ],
)
def test_a_permission_is_granted_once(old, grant, problem):
    with pytest.raises(AuthError) as caught:
        Role("r", old).merged(Role("r", grant=grant))
    assert (caught.value.status, str(caught.value)) == (409, problem)


@pytest.mark.parametrize(
    ("role", "is_change"),
    [
        (Role("r"), False),
        (Role("r", EVERYTHING), False),
        (Role("r", grant=Patterns()), False),
        (Role("r", grant=Patterns((), ()), revoke=Patterns()), False),
        (Role("r", revoke=Patterns(write=("/a",))), True),
        (Role("r", grant=Patterns(("/a",))), True),
    ],
)
def test_what_counts_as_a_change(role, is_change):
    assert role.is_change is is_change


USERS = [
    # old, change, the new password's hash, new
    (User("u"), User("u"), "", User("u", roles=())),
    (User("u", "h", ()), User("u"), "", User("u", "h", ())),
    (User("u", "h", ()), User("u", "p"), "new", User("u", "new", ())),
    (User("u"), User("u", grant=("b", "a")), "", User("u", roles=("a", "b"))),
    (User("u", roles=("b", "a")), User("u"), "", User("u", roles=("a", "b"))),
    (User("u", roles=("a",)), User("u", revoke=("a",)), "", User("u", roles=())),
    (User("u"), User("u", grant=("a",), revoke=("a",)), "", User("u", roles=())),
]


@pytest.mark.parametrize(("old", "change", "hashed", "new"), USERS)
def test_users_change(old, change, hashed, new):
    assert old.merged(change, hashed=hashed) == new


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (User("u", grant=("a",)), "auth: Granting duplicate role a for user u"),
        (User("u", grant=("b", "b")), "auth: Granting duplicate role b for user u"),
        (User("u", revoke=("b",)), "auth: Revoking ungranted role b for user u"),
        (User("u", revoke=("a", "a")), "auth: Revoking ungranted role a for user u"),
    ],
)
def test_roles_are_granted_and_revoked_once(change, problem):
    with pytest.raises(AuthError) as caught:
        User("u", roles=("a",)).merged(change, hashed="")
    assert (caught.value.status, str(caught.value)) == (409, problem)


@pytest.mark.parametrize(
    ("user", "roles"),
    [
        (User("root"), ("root",)),
        (User("root", roles=("a",)), ("a", "root")),
        (User("root", roles=("root", "a")), ("root", "a")),
        (User("other"), None),
    ],
)
def test_root_has_its_role(user, roles):
    assert user.with_root().roles == roles
