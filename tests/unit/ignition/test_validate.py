"""Which configs are accepted, and what is said about them.

tests/data/ignition/validate.json: our own configs, with the verdict of Ignition 2.14 on those of
version 3 and of 0.35 on the older ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coreos_py.ignition import config, jsontext
from coreos_py.ignition.cmd_validate import show

CASES = json.loads(
    (Path(__file__).parents[2] / "data" / "ignition" / "validate.json").read_text("utf-8")
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:60])
def test_verdicts(case):
    found = config.parse(case["text"].encode())
    report = sorted({f"{entry.kind}: {entry.message}" for entry in found.report.entries})
    error = "" if found.config or found.report.fatal else f"couldn't parse config: {found.problem}"
    assert (report, error) == (case["report"], case["error"])
    assert (found.config is None) == bool(case["exit"])


NEWER = [
    ("3.3.0", {"storage": {"luks": [{"name": "a", "device": "/d", "discard": True}]}}, 1),
    ("3.4.0", {"storage": {"luks": [{"name": "a", "device": "/d", "discard": True}]}}, 0),
    ("3.5.0", {"storage": {"files": [{"path": "/a", "mode": 0o4755}]}}, 1),
    ("3.6.0", {"storage": {"files": [{"path": "/a", "mode": 0o4755}]}}, 0),
]


@pytest.mark.parametrize(("version", "more", "warnings"), NEWER)
def test_versions_that_came_later(version, more, warnings):
    found = config.parse(json.dumps({"ignition": {"version": version}, **more}).encode())
    assert found.config is not None
    assert [entry.kind for entry in found.report.entries] == ["warning"] * warnings
    for file in found.config["storage"]["files"]:
        assert file["mode"] == (0o755 if warnings else 0o4755)


def test_where_it_is_in_a_config_of_version_3():
    data = (
        b'{\n "ignition": {"version":"3.3.0"},\n "storage": {"files": [{"path":"a", "x":1}]}\n}\n'
    )
    assert show(config.parse(data), data) == [
        "error at $.storage.files.0.path, line 3 col 32: path not absolute",
        "warning at $.storage.files.0.x, line 3 col 37: Unused key x",
    ]


def test_where_it_is_in_a_config_of_version_2():
    data = b'{\n "ignition": {"version":"2.1.0"},\n "storage": {"files": [{"path":"a"}]}\n}\n'
    assert show(config.parse(data), data)[-5:] == [
        "error at line 3, column 35",
        '    2:  "ignition": {"version":"2.1.0"},',
        '    3:  "storage": {"files": [{"path":"a"',
        " " * 41 + "^",
        "path not absolute",
    ]


@pytest.mark.parametrize(
    ("text", "message"),  # of Go 1.19's decoder
    [
        ("\\", r"invalid character '\\' looking for beginning of value"),
        ("'", r"invalid character '\'' looking for beginning of value"),
        ("é", "invalid character 'Ã' looking for beginning of value"),
        ("\x7f", r"invalid character '\x7f' looking for beginning of value"),
        ('"a\a"', r"invalid character '\a' in string literal"),
        ('tru"', "invalid character '\"' in literal true (expecting 'e')"),
        ("\ud800", "invalid character 'í' looking for beginning of value"),
    ],
)
def test_characters_are_named_as_go_names_them(text, message):
    with pytest.raises(jsontext.BadJSON) as raised:
        jsontext.parse(text)
    assert str(raised.value) == message


def test_depth_is_bounded():
    with pytest.raises(jsontext.BadJSON, match="exceeded max depth"):
        jsontext.parse("[" * 100_000)
    assert config.parse(b"[" * 100_000).config is None


@pytest.mark.parametrize("data", [b"\xff\xfe", b'{"ignition":{"version":"3.3.0"},"\xff":1}', b"\0"])
def test_bytes_that_are_no_text(data):
    assert config.parse(data).report is not None


@pytest.mark.parametrize(
    ("text", "value"),
    [('"\\ud83d\\ude00"', "\U0001f600"), ('"\\ud83d"', "\ufffd"), ('"\\ud83d\\n"', "\ufffd\n")],
)
def test_surrogates(text, value):
    assert jsontext.parse(text).value == value
