"""The error tree: messages, codes, statuses."""

from __future__ import annotations

import pytest

from coreos_py.base import errors

STATUS = {100: 404, 101: 412, 102: 403, 105: 412, 108: 403, 110: 401, 111: 403, 300: 500, 301: 500}


def test_every_code_has_a_message_and_a_status():
    codes = {value for name, value in vars(errors).items() if name.isupper() and type(value) is int}
    assert codes == set(errors.STORE_MESSAGES)
    for code in codes:
        assert errors.StoreError(code).status == STATUS.get(code, 400)


def test_store_error():
    error = errors.StoreError(100, "/foo", 45)
    assert (error.code, error.cause, error.index, error.text) == (100, "/foo", 45, "Key not found")
    assert str(error) == "100: Key not found (/foo) [45]"


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (errors.CoreosError("no x", hint="do y"), "no x", 1),
        (errors.UsageError("bad flag"), "bad flag", 2),
        (errors.ConfigError("a is 1"), "a is 1", 1),
        (errors.ConfigError(["a is 1", "b is 2"]), "a is 1; b is 2", 1),
        (errors.Unavailable("no leader", retry_after_s=0.5), "no leader", 1),
        (errors.WireError("short frame", status_hint=413), "short frame", 1),
        (errors.Corrupt("/d/0.wal", 512), "/d/0.wal: damaged at offset 512", 1),
        (errors.Corrupt("/d/0.wal", 8, "crc"), "/d/0.wal: damaged at offset 8: crc", 1),
        (errors.ExternalError(["ssh", "a"], 9, "x\nno way\n"), "ssh a: exit status 9: no way", 1),
        (errors.ExternalError(("man",), 3), "man: exit status 3", 1),
    ],
)
def test_one_line(error, text, code):
    assert isinstance(error, errors.CoreosError)
    assert str(error) == text
    assert "\n" not in text
    assert error.exit_code == code
