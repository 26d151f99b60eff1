"""Variables, kinds of user-data, encodings and Go's number formats."""

from __future__ import annotations

import base64
import gzip

import pytest

from coreos_py.cloudinit import encoding, gotext, gourl, ip, substitute, userdata
from coreos_py.cloudinit.encoding import EncodingError, decode_content
from coreos_py.cloudinit.metadata import Metadata

VALUES = {
    "COREOS_PUBLIC_IPV4": "1.2.3.4",
    "COREOS_PRIVATE_IPV4": "10.0.0.1",
    "COREOS_PUBLIC_IPV6": "2001:db8::1",
    "COREOS_PRIVATE_IPV6": "",
}


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("$private_ipv4", "10.0.0.1"),
        ("a$public_ipv4b", "a1.2.3.4b"),
        ("\\$private_ipv4", "$private_ipv4"),
        ("\\\\$private_ipv4", "\\$private_ipv4"),
        ("$private_ipv4$private_ipv4", "10.0.0.1$private_ipv4"),
        ("$private_ipv4,$private_ipv4", "10.0.0.1,10.0.0.1"),
        ("$private_ipv4$public_ipv4", "10.0.0.11.2.3.4"),
        ("${private_ipv4} $PRIVATE_IPV4", "${private_ipv4} $PRIVATE_IPV4"),
        ("é$public_ipv6\n$private_ipv6.", "é2001:db8::1\n."),
    ],
)
def test_substitution(text, out):
    assert substitute.apply(text.encode(), VALUES).decode() == out


def test_a_value_is_no_pattern():
    values = {**VALUES, "COREOS_PUBLIC_IPV4": r"\1\g<0>$"}
    assert substitute.apply(b"x$public_ipv4", values) == rb"x\1\g<0>$"


def test_the_source_knows_better_than_the_environment():
    metadata = Metadata(public_ipv4=ip.parse("9.9.9.9"), public_ipv6=ip.parse("2001:DB8::0:1"))
    assert substitute.addresses(
        metadata, {"COREOS_PUBLIC_IPV4": "x", "COREOS_PRIVATE_IPV4": "y"}
    ) == {
        "COREOS_PUBLIC_IPV4": "9.9.9.9",
        "COREOS_PRIVATE_IPV4": "y",
        "COREOS_PUBLIC_IPV6": "2001:db8::1",
        "COREOS_PRIVATE_IPV6": "",
    }


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", userdata.NOTHING),
        (b"#!/bin/sh", userdata.SCRIPT),
        (b"#cloud-config", userdata.CLOUD_CONFIG),
        (b"#cloud-config \t\r\nx", userdata.CLOUD_CONFIG),
        ("#cloud-config\u2003\n".encode(), userdata.CLOUD_CONFIG),
        (b"#cloud-config\x1c\n", userdata.UNKNOWN),
        (b"#Cloud-config\n", userdata.UNKNOWN),
        (b"\xef\xbb\xbf#cloud-config\n", userdata.UNKNOWN),
        (b"\n#cloud-config\n", userdata.UNKNOWN),
        (b'{"ignitionVersion": 1}', userdata.IGNITION),
        (b' {"IGNITION": {"Version": "3.0.0"}} ', userdata.IGNITION),
        (b'{"ignition": {"version": 3}}', userdata.UNKNOWN),
        (b'{"ignition": {"version": "2"}, "ignitionVersion": "1"}', userdata.UNKNOWN),
        (b'{"ignition": {"version": "2"}} {}', userdata.UNKNOWN),
        (b"{" * 100_000, userdata.UNKNOWN),
        (b"Content-Type: multipart/mixed; boundary=x\n\n--x--\n", userdata.MULTIPART),
        (b"MIME-Version: 1.0\nContent-Type:\n multipart/mixed; boundary=x\n\n", userdata.MULTIPART),
        (b"Content-Type: text/plain\n\nmultipart/\n", userdata.UNKNOWN),
    ],
)
def test_kinds(data, kind):
    assert userdata.kind(data) == kind


def message(*parts):
    text = "Content-Type: multipart/mixed; boundary=XX\n\n"
    return (text + "".join(f"--XX\n{part}\n" for part in parts) + "--XX--\n").encode()


def test_parts_are_what_they_look_like():
    packed = base64.b64encode(gzip.compress(b"#!/bin/sh\ntwo\n")).decode()
    found = userdata.parts(
        message(
            'Content-Type: text/cloud-config\nContent-Disposition: inline; filename="a"\n\nk: v',
            f"Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n{packed}",
            "Content-Type: text/x-shellscript\n\n#cloud-config\nhostname: x",
        )
    )
    assert [(part.kind, part.name, part.data) for part in found] == [
        (userdata.CLOUD_CONFIG, "a", b"k: v"),
        (userdata.SCRIPT, "part 2", b"#!/bin/sh\ntwo\n"),
        (userdata.CLOUD_CONFIG, "part 3", b"#cloud-config\nhostname: x"),
    ]


def test_a_mark_before_a_part_is_dropped():
    parts = userdata.parts(message("Content-Type: text/plain\n\n\ufeff#!/bin/sh\n"))
    assert [(part.kind, part.data) for part in parts] == [(userdata.SCRIPT, b"#!/bin/sh\n")]
    assert userdata.without_mark(b"#!/bin/sh") == b"#!/bin/sh"


def test_parts_may_be_nested_but_not_without_end():
    inner = "Content-Type: multipart/mixed; boundary=YY\n\n--YY\n\n#!/a\n--YY--\n"
    assert [part.kind for part in userdata.parts(message(inner))] == [userdata.SCRIPT]
    with pytest.raises(ValueError, match="more than"):
        userdata.parts(message(*["Content-Type: text/plain\n\n#!/a"] * 200))


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: multipart/mixed; boundary=XX\n\nno part at all\n",
        b"Content-Type: multipart/mixed\n\n--XX\n\n#!/a\n--XX--\n",
        message("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nH4sIAAAA"),
    ],
)
def test_broken_multiparts(data):
    with pytest.raises(ValueError, match="broken"):
        userdata.parts(data)


PLAIN = b"one\x00two\xff\n"
PACKED = gzip.compress(PLAIN * 500, mtime=0)


@pytest.mark.parametrize(
    ("content", "name", "out"),
    [
        (PLAIN, "", PLAIN),
        (base64.b64encode(PLAIN), "b64", PLAIN),
        (base64.encodebytes(PLAIN * 20), "base64", PLAIN * 20),
        (PACKED, "gz", PLAIN * 500),
        (base64.b64encode(PACKED), "gzip+b64", PLAIN * 500),
        (base64.b64encode(PACKED + PACKED), "gz+base64", PLAIN * 1000),
    ],
)
def test_encodings(content, name, out):
    assert decode_content(content, name) == out


@pytest.mark.parametrize("name", [*encoding.BASE64, *encoding.GZIP, *encoding.GZIP_BASE64])
def test_every_encoding_may_fail(name):
    with pytest.raises(EncodingError, match="Unable to decode"):
        decode_content(b"?", name)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"x", "rot13", 'Unsupported encoding "rot13"'),
        (b"YQ=", "b64", 'Unable to decode base64: "illegal base64 data at input byte 3"'),
        (b"Y", "b64", 'Unable to decode base64: "illegal base64 data at input byte 0"'),
        (b"YQ==x", "b64", 'Unable to decode base64: "illegal base64 data at input byte 4"'),
        (b"YW\nJj!", "b64", 'Unable to decode base64: "illegal base64 data at input byte 5"'),
        (b"aGVs=", "b64", 'Unable to decode base64: "illegal base64 data at input byte 4"'),
        (b"plain text", "gz", 'Unable to decode gzip: "gzip: invalid header"'),
        (b"\x1f\x8b", "gz", 'Unable to decode gzip: "unexpected EOF"'),
        (b"", "gz", 'Unable to decode gzip: "EOF"'),
    ],
)
def test_what_cannot_be_decoded(content, name, message):
    with pytest.raises(EncodingError) as caught:
        decode_content(content, name)
    assert str(caught.value) == message


def test_a_stream_that_breaks_off_gives_what_there_was():
    found = encoding.gunzip(PACKED[:-8])
    assert (found.data, found.problem) == (PLAIN * 500, "unexpected EOF")
    found = encoding.gunzip(PACKED[:-8] + bytes(8))
    assert (found.data, found.problem) == (PLAIN * 500, "gzip: invalid checksum")
    assert encoding.gunzip(PACKED + b"tail of something").problem == "gzip: invalid header"
    damaged = bytearray(gzip.compress(bytes(range(256)) * 40, mtime=0))
    damaged[len(damaged) // 2] ^= 0xFF
    found = encoding.gunzip(bytes(damaged))
    assert found.problem
    assert (bytes(range(256)) * 40).startswith(found.data[:100])


def test_what_unpacks_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(encoding, "UNPACKED_BYTES_MAX", 1000)
    found = encoding.gunzip(gzip.compress(bytes(5000)))
    assert (len(found.data), found.problem) == (1000, encoding.TOO_LARGE)
    with pytest.raises(EncodingError, match="more than"):
        decode_content(gzip.compress(bytes(5000)), "gzip")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (100000.0, "100000"),
        (999999.0, "999999"),
        (123456.7, "123456.7"),
        (100000.25, "100000.25"),
        (0.0001, "0.0001"),
        (1e6, "1e+06"),
        (1.8e6, "1.8e+06"),
        (1234567.0, "1.234567e+06"),
        (12345678.9, "1.23456789e+07"),
        (1e-5, "1e-05"),
        (1.2345678901234568e17, "1.2345678901234568e+17"),
        (0.5, "0.5"),
        (-2.25, "-2.25"),
        (1e100, "1e+100"),
        (5e-324, "5e-324"),
        (0.0, "0"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_floats(number, text):
    assert gotext.float_text(number) == text


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("https://discovery.example/abc", True),
        ("/path", True),
        ("*", True),
        ("mailto:x", True),
        ("http://[::1]:80/x", True),
        ("http://a b/", False),
        ("http://a:port/", False),
        ("http://a/%zz", False),
        ("nowhere", False),
        ("", False),
        ("://x", False),
        ("http://a\n", False),
    ],
)
def test_request_uris(text, good):
    assert gourl.is_request_uri(text) is good
