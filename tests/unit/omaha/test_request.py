"""Requests: the bytes update_engine 0.4.10 sends, and what a server makes of anybody's."""

from __future__ import annotations

from pathlib import Path

import pytest

from coreos_py.base.errors import WireError
from coreos_py.omaha import request
from coreos_py.omaha.request import Client, Event

DATA = Path(__file__).resolve().parents[2] / "data" / "omaha"
CLIENT = Client(
    app_id=request.APP_ID,
    version="1122.3.0",
    track="stable",
    boot_id="{3e6f2d0c-9f0b-4c0a-8a57-0f0d3f1c7a11}",
    oem="ec2",
    oem_version="0.0.5",
    aleph_version="1068.10.0",
    machine_id="9d2c6b0f4be64ef4a3c1f16d0b8a7e55",
    board="amd64-usr",
    architecture="x86_64",
)
WRITTEN = {
    "check.xml": request.check(CLIENT, previous_version="1068.10.0", on_demand=False),
    "check-first.xml": request.check(
        CLIENT, previous_version=request.NEVER_UPDATED, on_demand=True
    ),
    "ping.xml": request.ping(CLIENT, on_demand=False),
    "download-started.xml": request.report(CLIENT, Event(13, 1), on_demand=True),
    "failed.xml": request.report(CLIENT, Event(3, 0, 268435466), on_demand=False),
}


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_bytes(name):
    assert WRITTEN[name] == (DATA / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "source", "has_ping", "has_check", "events"),
    [
        ("check.xml", "scheduler", True, True, (Event(3, 2, 0, "1068.10.0"),)),
        ("check-first.xml", "ondemandupdate", True, True, (Event(3, 2, 0, "0.0.0.0"),)),
        ("ping.xml", "scheduler", True, False, ()),
        ("download-started.xml", "ondemandupdate", False, False, (Event(13, 1),)),
        ("failed.xml", "scheduler", False, False, (Event(3, 0, 268435466),)),
    ],
)
def test_a_server_reads_them(name, source, has_ping, has_check, events):
    read = request.parse((DATA / name).read_bytes())
    assert (read.protocol, read.version) == ("3.0", request.UPDATER)
    assert read.install_source == source
    (app,) = read.apps
    assert (app.app_id, app.version, app.track) == (request.APP_ID, "1122.3.0", "stable")
    assert app.machine_id == CLIENT.machine_id
    assert app.attributes["oemversion"] == "0.0.5"
    assert (app.has_ping, app.has_update_check, app.events) == (has_ping, has_check, events)


@pytest.mark.parametrize("text", ['a"b', "<&>", "größe", "tab\tline\n", "\r"])
def test_values_survive(text):
    client = CLIENT._replace(oem=text, alias="rack 7")
    (app,) = request.parse(request.ping(client, on_demand=True)).apps
    # An attribute's white space is normalised by every reader, except where it was escaped.
    assert app.oem == text.replace("\t", " ").replace("\n", " ")
    assert app.attributes["machinealias"] == "rack 7"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        # The rows of update_engine 0.4.10's own test.
        ("ab", "ab"),
        ("a<b", "a&lt;b"),
        ("foo-\u03a9", "foo-&#x3A9;"),
        ("<&>", "&lt;&amp;&gt;"),
        ("&lt;&amp;&gt;", "&amp;lt;&amp;amp;&amp;gt;"),
        ("\U0001f600\x7f\x85", "&#x1F600;\x7f&#x85;"),
        ("a\tb\nc\rd'", "a\tb\nc&#13;d'"),
        # libxml2 leaves quotes, and what it makes of these nobody can read.
        ('a"b', "a&quot;b"),
        ("a\x00\x1bb\ufffe\udc80", "ab"),
    ],
)
def test_values_are_escaped(text, sent):
    data = request.ping(CLIENT._replace(oem=text), on_demand=True)
    assert f' oem="{sent}" oemversion='.encode() in data


def test_several_apps():
    both = b"<request protocol='3.0'><app appid='a'/><app appid='b'><ping/></app></request>"
    first, second = request.parse(both).apps
    assert (first.app_id, first.has_ping, second.app_id, second.has_ping) == ("a", False, "b", True)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "not XML"),
        (b"<request", "not XML"),
        (b"<request></wrong>", "not XML"),
        (b"<response/>", "not an Omaha request: <response>"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><request/>', "document type"),
        (b"<request><app><event eventtype='x'/></app></request>", 'eventtype="x"'),
        (b"<request><app><event errorcode='%s'/></app></request>" % (b"9" * 30), "errorcode"),
        (b"<request>" + b"<a>" * 40 + b"</a>" * 40 + b"</request>", "nested"),
        (b"<request>" + b"<a/>" * 10_001 + b"</request>", "too many"),
        (b"<request>" + b" " * (1 << 20) + b"</request>", "too large"),
        (b'<?xml version="1.0" encoding="nosuch"?><request/>', "not XML"),
        (b"<request a='\xff'/>", "not XML"),
    ],
)
def test_nonsense_is_refused(data, problem):
    with pytest.raises(WireError, match=problem):
        request.parse(data)
