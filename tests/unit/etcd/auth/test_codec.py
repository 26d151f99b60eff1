"""The JSON of users and roles against what etcd 2.3.8 stores, shows and accepts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.etcd.auth import codec
from coreos_py.etcd.auth.model import GUEST_ROLE, Patterns, Role, User

USERS = [
    (User("bob"), '{"user":"bob","roles":null}'),
    (User("bob", "$2a$10$x"), '{"user":"bob","password":"$2a$10$x","roles":null}'),
    (User("bob", roles=()), '{"user":"bob","roles":[]}'),
    (User("bob", roles=("a", "b")), '{"user":"bob","roles":["a","b"]}'),
    (User("", roles=("",)), '{"user":"","roles":[""]}'),
    (User("fä <>&\u2028"), '{"user":"fä \\u003c\\u003e\\u0026\\u2028","roles":null}'),
    (
        User("bob", grant=("a",), revoke=("b",)),
        '{"user":"bob","roles":null,"grant":["a"],"revoke":["b"]}',
    ),
]
ROLES = [
    (Role("r"), '{"role":"r","permissions":{"kv":{"read":null,"write":null}}}'),
    (Role("r", Patterns((), ())), '{"role":"r","permissions":{"kv":{"read":[],"write":[]}}}'),
    (GUEST_ROLE, '{"role":"guest","permissions":{"kv":{"read":["/*"],"write":["/*"]}}}'),
    (
        Role("r", grant=Patterns((), None), revoke=Patterns()),
        '{"role":"r","permissions":{"kv":{"read":null,"write":null}},'
        '"grant":{"kv":{"read":[],"write":null}},"revoke":{"kv":{"read":null,"write":null}}}',
    ),
]


@pytest.mark.parametrize(("user", "text"), USERS)
def test_users_both_ways(user, text):
    assert codec.write_user(user) == text
    assert codec.read_user(text) == user
    assert codec.read_user(text.encode()) == user


@pytest.mark.parametrize(("role", "text"), ROLES)
def test_roles_both_ways(role, text):
    assert codec.write_role(role) == text
    assert codec.read_role(text) == role


READ_USERS = [
    ("null", User()),
    ("{}", User()),
    (' \n{ "user" : "a" }\t', User("a")),
    ('{"USER":"a","Roles":["x"],"GRANT":null}', User("a", roles=("x",))),
    ('{"user":"x","User":"a"}', User("a")),
    ('{"user":"a","user":null}', User("a")),
    ('{"roles":["x"],"roles":null}', User()),
    ('{"roles":[null,"x"]}', User(roles=("", "x"))),
    ('{"user":"a","more":{"user":[1,2.5e3,true,null]}}', User("a")),
    ('{"user":"\\ud83d\\ude00\\ud800"}', User("\U0001f600\ufffd")),
    (b'{"user":"a\xffb"}', User("a\ufffdb")),
    ('{"user":"a\udcffb"}', User("a\ufffdb")),
]


@pytest.mark.parametrize(("text", "user"), READ_USERS)
def test_users_as_go_reads_them(text, user):
    assert codec.read_user(text) == user


READ_ROLES = [
    ('{"role":"r","permissions":null,"grant":null}', Role("r")),
    (
        '{"role":"r","grant":{},"revoke":{"kv":null}}',
        Role("r", grant=Patterns(), revoke=Patterns()),
    ),
    ('{"Permissions":{"KV":{"Read":["/a"],"x":1}}}', Role("", Patterns(("/a",)))),
]


@pytest.mark.parametrize(("text", "role"), READ_ROLES)
def test_roles_as_go_reads_them(text, role):
    assert codec.read_role(text) == role


BAD = [
    *("", " ", "{", "[]", "[[]]", "3", '"x"', "true", "{'user':'a'}", '{"user":"a"', '{"user":3}'),
    *('{"user":["a"]}', '{"user":{}}', '{"password":false}', '{"roles":"a"}', '{"roles":{"a":1}}'),
    *('{"roles":[1]}', '{"roles":[["a"]]}', '{"grant":3}', '{"revoke":{}}', '{"user":NaN}'),
    *('{"more":Infinity}', '{"more":-Infinity}', '{"user":"a\n"}', '{"user":"a"} x', "nul"),
    *("\ufeff{}", '{"user":"a",}', '{"a":' * 100_000),
]


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:20])
def test_users_that_are_none(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the API says the same about all of them
        codec.read_user(text)


BAD_ROLES = [
    *('{"role":1}', '{"permissions":[]}', '{"permissions":{"kv":3}}', '{"grant":"x"}'),
    *('{"permissions":{"kv":{"read":"/a"}}}', '{"revoke":{"kv":{"write":[1]}}}', "[]", ""),
]


@pytest.mark.parametrize("text", BAD_ROLES)
def test_roles_that_are_none(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the API says the same about all of them
        codec.read_role(text)


def test_what_follows_the_first_value_matters_only_in_the_store():
    text = '{"user":"a"} trailing {{{'
    assert codec.read_user(text, whole=False) == User("a")
    with pytest.raises(ValueError, match="more than one value"):
        codec.read_user(text)


@pytest.mark.parametrize(("text", "on"), [("true", True), ("false", False), (" null\n", False)])
def test_the_switch(text, on):
    assert codec.read_enabled(text) is on


@pytest.mark.parametrize("text", ["", "1", '"true"', "True", "{}", "true false"])
def test_the_switch_is_a_truth_value(text):
    with pytest.raises(ValueError):  # noqa: PT011 - it is logged and counts as off
        codec.read_enabled(text)


def test_a_user_with_all_its_roles():
    assert codec.write_user_with_roles(User("bob", "secret"), []) == '{"user":"bob"}'
    shown = codec.write_user_with_roles(User("bob", "secret"), [GUEST_ROLE, Role("r")])
    assert json.loads(shown)["roles"][1]["role"] == "r"
    assert "secret" not in shown


names = st.none() | st.lists(st.text(st.characters(codec="utf-8"))).map(tuple)
texts = st.text(st.characters(codec="utf-8"))


@given(st.builds(User, texts, texts, names))
def test_any_user_comes_back(user):
    assert codec.read_user(codec.write_user(user)) == user


patterns = st.builds(Patterns, names, names)


@given(st.builds(Role, texts, patterns, st.none() | patterns, st.none() | patterns))
def test_any_role_comes_back(role):
    assert codec.read_role(codec.write_role(role)) == role


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                ["user", "Roles", "password", "role", "permissions", "kv", "read", "x"]
            ),
            inner,
        )
    ),
    max_leaves=8,
)


@given(json_like.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_nothing_but_a_value_error(data):
    for read in (codec.read_user, codec.read_role):
        try:
            read(data, whole=False)
        except ValueError:
            continue
