"""Who decides a setting, and how values are read."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import ConfigError
from coreos_py.cli import settings
from coreos_py.cli.settings import (
    BOOL,
    COMMA_LIST,
    DEFAULT,
    DURATION,
    ENV,
    FILE,
    FLAG,
    INT,
    STRING,
    STRINGS,
    UINT,
    Setting,
    choice,
    resolve,
)

TABLE = (
    Setting("name", STRING, "default", env="X_NAME", key="name"),
    Setting("count", INT, "3", env="X_COUNT", key="count"),
    Setting("debug", BOOL, env="X_DEBUG"),
    Setting("peers", COMMA_LIST, env="X_PEERS"),
    Setting("more", STRINGS, env="X_MORE"),
    Setting("size", UINT),
)

PRECEDENCE = [
    # flags, env, file, value, origin
    ({"name": ("f", "f")}, {"X_NAME": "e"}, {"name": "c"}, "f", FLAG),
    ({}, {"X_NAME": "e"}, {"name": "c"}, "e", ENV),
    ({}, {"X_NAME": ""}, {"name": "c"}, "c", FILE),
    ({}, {}, {"name": "c"}, "c", FILE),
    ({}, {}, {"name": ""}, "", FILE),
    ({"name": ("", "")}, {"X_NAME": "e"}, {}, "", FLAG),
    ({}, {}, {}, "default", DEFAULT),
]


@pytest.mark.parametrize(("flags", "env", "file", "value", "origin"), PRECEDENCE)
def test_precedence(flags, env, file, value, origin):
    values = resolve(TABLE, flags=flags, env=env, file=file)
    assert (values["name"], values.origin("name")) == (value, origin)
    assert values.given("name") == (origin != DEFAULT)


def test_defaults():
    values = resolve(TABLE)
    assert values["count"] == 3
    assert values["debug"] is False
    assert values["peers"] == ()
    assert values["more"] == ()
    assert values["size"] is None
    assert values.text("count") == "3"
    assert "count" in values
    assert "nosuch" not in values
    assert list(values) == [item.name for item in TABLE]
    with pytest.raises(KeyError):
        values["nosuch"]


def test_text_is_kept():
    values = resolve(TABLE, env={"X_COUNT": "0x10", "X_MORE": "a,b"})
    assert (values["count"], values.text("count")) == (16, "0x10")
    assert values["more"] == ("a", "b")


def test_every_problem_is_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        resolve(TABLE, env={"X_COUNT": "x", "X_DEBUG": "maybe"}, file={"count": "y"}, file_name="f")
    assert caught.value.items == (
        'invalid value "x" for X_COUNT: parse error',
        'invalid value "y" for count in f: parse error',
        'invalid value "maybe" for X_DEBUG: parse error',
    )


def test_bad_values_may_be_passed_over():
    seen = []
    values = resolve(
        TABLE,
        env={"X_COUNT": "x"},
        file={"count": "5"},
        on_bad=lambda setting, origin, text, problem: seen.append((setting.name, origin, text)),
    )
    assert values["count"] == 5
    assert seen == [("count", ENV, "x")]


def test_a_setting_is_frozen():
    with pytest.raises(AttributeError):
        TABLE[0].name = "other"


def test_env_name():
    assert settings.env_name("ETCD_", "listen-client-urls") == "ETCD_LISTEN_CLIENT_URLS"


VALUES = [
    (BOOL, "T", True),
    (BOOL, "0", False),
    (BOOL, "yes", "parse error"),
    (BOOL, "", "parse error"),
    (INT, "-017", -15),
    (INT, "08", "parse error"),
    (INT, "1 ", "parse error"),
    (INT, "٣", "parse error"),
    (INT, str(1 << 63), "value out of range"),
    (UINT, str(1 << 64), "value out of range"),
    (UINT, "18446744073709551615", (1 << 64) - 1),
    (DURATION, "1m", 60_000_000_000),
    (DURATION, "1", "parse error"),
    (choice("on", "off"), "on", "on"),
    (choice("on", "off"), "maybe", "invalid value"),
]


@pytest.mark.parametrize(("kind", "text", "expected"), VALUES)
def test_kinds(kind, text, expected):
    try:
        value = kind.parse(text)
    except ValueError as err:
        value = str(err)
    assert value == expected
    assert type(value) is type(expected)
