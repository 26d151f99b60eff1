"""Cloud-configs in Ignition's words."""

from __future__ import annotations

import json

import pytest

from coreos_py.cloudinit import config as cloudconfig
from coreos_py.ignition import config, dataurl
from coreos_py.ignition.convert import convert


def converted(text):
    found = convert(cloudconfig.from_texts([f"#cloud-config\n{text}".encode()]))
    parsed = config.parse(json.dumps(found.document).encode())
    assert parsed.config is not None, parsed.report.entries
    return found.document, found.omitted


CASES = [
    ("hostname: box", "storage", {"files": [("/etc/hostname", 0o644, b"box\n")]}, 0),
    (
        'write_files: [{path: /a, content: x, permissions: "0755", owner: "core:5"}]',
        "storage",
        {"files": [("/a", 0o755, b"x")]},
        0,
    ),
    ("write_files: [{path: a/../b, content: x}]", "storage", {"files": [("/b", 0o644, b"x")]}, 0),
    (
        "ssh_authorized_keys: [a, b]",
        "passwd",
        {"users": [{"name": "core", "sshAuthorizedKeys": ["a", "b"]}]},
        0,
    ),
    (
        "users: [{name: ann, passwd: $6$, no-user-group: true, coreos-ssh-import-github: x}]",
        "passwd",
        {"users": [{"name": "ann", "passwordHash": "$6$", "noUserGroup": True}]},
        1,
    ),
    (
        "users: [{name: core, passwd: $6$, groups: [docker]}]",
        "passwd",
        {"users": [{"name": "core", "passwordHash": "$6$"}]},
        1,
    ),
    (
        "coreos: {fleet: {metadata: a=b}}",
        "systemd",
        {
            "units": [
                {
                    "name": "fleet.service",
                    "dropins": [
                        {
                            "name": "20-cloudinit.conf",
                            "contents": '[Service]\nEnvironment="FLEET_METADATA=a=b"\n',
                        }
                    ],
                }
            ]
        },
        0,
    ),
    (
        "coreos: {units: [{name: a.service, mask: true}]}",
        "systemd",
        {"units": [{"name": "a.service", "mask": True}]},
        0,
    ),
    (
        "coreos: {units: [{name: a.service, command: start}]}",
        "systemd",
        {"units": [{"name": "a.service", "enabled": True}]},
        0,
    ),
    (
        "coreos: {units: [{name: a.service, command: stop}]}",
        "systemd",
        {"units": [{"name": "a.service"}]},
        1,
    ),
]


@pytest.mark.parametrize(("text", "section", "expected", "omitted"), CASES)
def test_sections(text, section, expected, omitted):
    document, left_out = converted(text)
    found = document[section]
    if section == "storage":
        found = {
            "files": [
                (file["path"], file["mode"], dataurl.decode(file["contents"]["source"]))
                for file in found["files"]
            ]
        }
    assert found == expected
    assert len(left_out) == omitted, left_out


def test_owners():
    document, _ = converted('write_files: [{path: /a, content: x, owner: "core:5"}]')
    (file,) = document["storage"]["files"]
    assert (file["user"], file["group"]) == ({"name": "core"}, {"id": 5})


def test_a_unit_that_cannot_be_enabled_is_named():
    document, omitted = converted(
        "coreos: {units: [{name: a.service, command: start,"
        ' content: "[Service]\\nType=simple\\n"}]}'
    )
    assert document["systemd"]["units"] == [
        {"name": "a.service", "contents": "[Service]\nType=simple\n"}
    ]
    assert omitted == [
        "unit a.service: has no [Install] section, so enabling it would not start it"
    ]


def test_nothing():
    assert converted("") == ({"ignition": {"version": "3.3.0"}}, [])
