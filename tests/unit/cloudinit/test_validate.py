"""The validator and the decoder, against recordings of coreos-cloudinit 1.13.0."""

from __future__ import annotations

import base64

import pytest

from coreos_py.cloudinit import config, userdata
from coreos_py.cloudinit.encoding import EncodingError
from coreos_py.cloudinit.validate import ValidatorError, validate
from coreos_py.cloudinit.yaml.nodes import YamlError
from tests.unit.cloudinit import recorded

CASES = recorded.load("validate.json")


def judged(data):
    try:
        return {"entries": sorted(recorded.latin(str(entry)) for entry in validate(data))}
    except ValidatorError as error:
        return {"entries": [], "verr": str(error)}


def decoded(data):
    kind = userdata.kind(data)
    if kind == userdata.SCRIPT:
        return {"script": True}
    if kind == userdata.IGNITION:
        return {"perr": "not a config (found Ignition)"}
    if kind != userdata.CLOUD_CONFIG:
        return {"perr": "Unrecognized user-data format"} if data else {}
    try:
        return {"config": recorded.config(config.from_texts([data]))}
    except (YamlError, EncodingError) as error:
        return {"perr": recorded.latin(str(error))}


def without_empty(value):
    if isinstance(value, dict):
        items = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in ({}, [], "")}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def test_everything_recorded():
    assert len(CASES) > 400
    wrong = []
    for case in CASES:
        text = case["text"]
        data = text.encode("latin-1")
        expected = {key: item for key, item in case.items() if key != "text"}
        found = {**judged(data), **decoded(data)}
        if without_empty(found) != without_empty(expected):
            wrong.append((text, expected, found))
    assert wrong == []


def lines(text):
    return [str(entry) for entry in validate(text.encode())]


def test_entries_come_by_line():
    files = "write_files:\n  - path: /usr/x\n    mode: 1\n"
    assert lines(f"#cloud-config\n{files}coreos:\n  fleat: {{}}\nusres: []\n") == [
        "line 3: error: file cannot be written to a read-only filesystem",
        'line 4: warning: unrecognized key "mode"',
        'line 6: warning: unrecognized key "fleat"',
        'line 7: warning: unrecognized key "usres"',
    ]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("~", 'line 4: warning: incorrect type for "command" (want string)'),
        ("[start]", 'line 4: warning: incorrect type for "command" (want string)'),
        ("{start: now}", 'line 4: warning: incorrect type for "command" (want string)'),
        ("begin", "line 4: error: invalid value begin"),
    ],
)
def test_what_crashes_upstream_is_a_complaint_here(value, complaint):
    text = f"#cloud-config\ncoreos:\n  units:\n    - command: {value}\n"
    assert lines(text) == [complaint]


def test_a_window_length_is_judged_in_no_time():
    text = f"#cloud-config\ncoreos:\n  locksmith:\n    window-length: {'a' * 5000}!\n"
    assert lines(text) == [f"line 4: error: invalid value {'a' * 5000}!"]


def multipart(*parts):
    pieces = ["Content-Type: multipart/mixed; boundary=XX", "MIME-Version: 1.0", ""]
    for header, body in parts:
        pieces += ["--XX", *header, "", body]
    return "\n".join([*pieces, "--XX--", ""])


def test_a_multipart_is_judged_part_by_part():
    encoded = base64.b64encode(b"#cloud-config\nhostnam: x\n").decode()
    text = multipart(
        (["Content-Type: text/x-shellscript"], "#!/bin/sh\ntrue"),
        (["Content-Type: text/cloud-config"], "#cloud-config\nusres: []"),
        (["Content-Type: text/cloud-config", "Content-Transfer-Encoding: base64"], encoded),
        (["Content-Type: text/plain"], "what is this"),
    )
    assert text.splitlines()[12] == "usres: []"
    assert text.splitlines()[21] == "what is this"
    assert lines(text) == [
        'line 13: warning: unrecognized key "usres"',
        'line 2: warning: unrecognized key "hostnam"',
        'line 22: error: part 4: must be "#cloud-config" or begin with "#!"',
    ]
