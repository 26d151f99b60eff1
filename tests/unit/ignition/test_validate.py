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


def luks(**more):
    return {"storage": {"luks": [{"name": "a", "device": "/d", **more}]}}


def tang(**more):
    return luks(clevis={"tang": [{"url": "http://t", "thumbprint": "x", **more}]})


def source(url):
    return {"storage": {"files": [{"path": "/a", "contents": {"source": url}}]}}


def special(name):
    return {"storage": {name: [{"path": "/a", "mode": 0o4755}]}}


def hard(**more):
    return {"storage": {"links": [{"path": "/a", "target": "/b", "hard": True, **more}]}}


def unit(name, **more):
    dropins = [{"name": "b.conf", "contents": "[Foo]\nA=b"}]
    unit = {"name": "a.service", "contents": "[Foo]\nA=b", "dropins": dropins}
    return {"systemd": {"units": [unit]}, "storage": {name: [more]}}


def whole_disk(disk, **more):
    formatted = {"device": "/d", "format": "ext4", **more}
    return {"storage": {"disks": [{"device": "/d", **disk}], "filesystems": [formatted]}}


def instance(text, name="t@i.service"):
    units = [{"name": "t@.service", "contents": text}, {"name": name, "enabled": True}]
    return {"systemd": {"units": units}}


EXPERIMENTAL = "3.4.0-experimental"
BITS = "warning: setuid/setgid/sticky bits are not supported"
BITS_3 = f"{BITS} in spec versions older than 3.4.0"
BITS_4 = f"{BITS} or functional in spec versions older than 3.6.0"
ARN = "error: invalid S3 ARN format"
IN_UNIT = "error: path conflicts with systemd unit or dropin"
FOR_LINK = "warning: user/group ignored for hard link"
CUSTOM = {"clevis": {"custom": {"pin": "z", "config": "c"}}}
OVERWRITTEN = "warning: filesystem overwrites partitioned device"
WIPED = "warning: device matches disk with wipeTable enabled; filesystem will be wiped"
NO_INSTALL = 'warning: template unit "t@.service" for "t@i.service" doesn\'t have Install section'

# As Ignition 2.26 says it, and 2.14 of the experimental version.
NEWER = [
    ("3.3.0", luks(discard=True), "warning: Unused key discard"),
    (EXPERIMENTAL, luks(discard=True), "warning: Unused key discard"),
    ("3.4.0", luks(discard=True), ""),
    ("3.3.0", special("files"), BITS_3),
    (EXPERIMENTAL, special("files"), ""),
    ("3.4.0", special("files"), BITS_4),
    ("3.5.0", special("directories"), BITS_4),
    ("3.6.0", special("directories"), ""),
    ("3.3.0", source("arn:aws:s3:::b/k"), "error: invalid url scheme"),
    (EXPERIMENTAL, source("arn:aws:s3:::b"), ARN),
    ("3.4.0", source("arn:aws:s3:::b/k"), ""),
    ("3.4.0", source("Arn:"), ARN),
    ("3.4.0", source("arn:aws:iam:r:1:b/k"), ARN),
    ("3.4.0", source("arn:aws:s3:r:1:accesspoint/a"), ARN),
    ("3.4.0", source("arn:aws:s3:r:1:accesspoint/a/object/k"), ""),
    ("3.4.0", source("arn:aws:s3:::b/k?versionId="), "error: invalid S3 object VersionId"),
    ("3.3.0", tang(advertisement="{{"), "warning: Unused key advertisement"),
    ("3.4.0", tang(advertisement="{{"), "error: advertisement is not valid JSON"),
    ("3.4.0", tang(advertisement="{}"), ""),
    ("3.3.0", unit("files", path="/etc/systemd/system/a.service"), ""),
    ("3.4.0", unit("files", path="/etc/systemd/system/a.service"), IN_UNIT),
    ("3.4.0", unit("directories", path="/etc/systemd/system/a.service.d/b.conf"), IN_UNIT),
    ("3.4.0", unit("links", path="/etc/systemd/system/a.service", target="/b"), IN_UNIT),
    ("3.4.0", unit("files", path="/etc/systemd/system/b.service"), ""),
    ("3.3.0", hard(user={"id": 1}), ""),
    ("3.4.0", hard(user={"id": 1}), FOR_LINK),
    ("3.4.0", hard(group={"name": "g"}), FOR_LINK),
    ("3.4.0", hard(), ""),
    ("3.3.0", whole_disk({"wipeTable": True}), ""),
    ("3.4.0", whole_disk({"wipeTable": True}), WIPED),
    ("3.4.0", whole_disk({"wipeTable": True}, wipeFilesystem=True), ""),
    ("3.4.0", whole_disk({"partitions": [{"number": 1}]}), OVERWRITTEN),
    ("3.3.0", instance("[Foo]\nA=b"), ""),
    ("3.4.0", instance("[Foo]\nA=b"), NO_INSTALL),
    ("3.4.0", instance("[Install]\nWantedBy=b"), ""),
    ("3.4.0", instance("[Foo]\nA=b", "t@i.socket"), ""),
    ("3.4.0", luks(cex={"enabled": True}), "warning: Unused key cex"),
    (
        "3.5.0",
        luks(cex={"enabled": True}, clevis={"tpm2": True}),
        "error: cannot use cex with clevis",
    ),
    (
        "3.5.0",
        luks(cex={"enabled": True}, keyFile={"source": "data:,k"}),
        "error: cannot use key file with cex",
    ),
    ("3.5.0", luks(cex={"enabled": False}, clevis={"tpm2": True}), ""),
    ("3.5.0", luks(**CUSTOM), "error: unsupported clevis pin"),
    ("3.6.0", luks(**CUSTOM), ""),
]


@pytest.mark.parametrize(("version", "more", "report"), NEWER)
def test_versions_that_came_later(version, more, report):
    found = config.parse(json.dumps({"ignition": {"version": version}, **more}).encode())
    assert "; ".join(f"{e.kind}: {e.message}" for e in found.report.entries) == report
    assert (found.config is None) == report.startswith("error")


@pytest.mark.parametrize(
    ("version", "mode"),
    [("3.3.0", 0o755), (EXPERIMENTAL, 0o4755), ("3.5.0", 0o755), ("3.6.0", 0o4755)],
)
def test_special_bits_count_where_they_are_known(version, mode):
    document = {"ignition": {"version": version}, **special("files")}
    found = config.parse(json.dumps(document).encode()).config
    assert found["storage"]["files"][0]["mode"] == mode


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
