"""Responses: both shapes that servers write, and what update_engine reads out of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreos_py.omaha import codes, request, response, xml
from coreos_py.omaha.codes import ErrorCode
from coreos_py.omaha.response import AppReply, Offer, Package, ResponseError

DATA = Path(__file__).resolve().parents[2] / "data" / "omaha"
SHA256 = "EqYfThc/s6EcBdZHH3Ryj3YjG0pfzZZnzvOvh6OuTcI="
SHA1 = "mAFznarkTsUpPU4fU9P00tQm2Rw="
GO_OFFER = Offer(
    "1185.5.0",
    ("https://updates.example/a/", "http://10.1.2.3:8080/b/"),
    (Package("update.gz", SHA1, 8, False, SHA256),),
    {"sha256": SHA256, "DisablePayloadBackoff": "true"},
)
ROLLER_OFFER = Offer(
    "1185.5.0",
    ("https://updates.example/a/",),
    (Package("update.gz", SHA1, 8),),
    {
        "ChromeOSVersion": "",
        "sha256": SHA256,
        "needsadmin": "false",
        "IsDelta": "false",
        "DisablePayloadBackoff": "true",
    },
)
ROLLER = AppReply(request.APP_ID, version="1122.3.0", track="stable", has_ping=True, events=1)
WRITTEN = {
    "offer-go-omaha.xml": response.write(
        (AppReply(request.APP_ID, has_ping=True, update_status="ok", offer=GO_OFFER, events=1),),
        server="go-omaha",
    ),
    "offer-coreroller.xml": response.write(
        (ROLLER._replace(update_status="ok", offer=ROLLER_OFFER),),
        server="coreroller",
        compact=True,
    ),
    "hold-coreroller.xml": response.write(
        (ROLLER._replace(status="error-updatesDisabled"),), server="coreroller", compact=True
    ),
}


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_bytes(name):
    assert WRITTEN[name] == (DATA / name).read_bytes()


def test_an_offer_is_read():
    update = response.parse((DATA / "offer-go-omaha.xml").read_bytes()).update
    assert update == response.Update(
        version="1185.5.0",
        urls=("https://updates.example/a/update.gz", "http://10.1.2.3:8080/b/update.gz"),
        size=8,
        sha256=SHA256,
        disable_backoff=True,
    )
    assert update.digest().hex().startswith("12a61f4e173f")


def _changed(old, new):
    text = (DATA / "offer-go-omaha.xml").read_text()
    assert old in text
    return text.replace(old, new).encode()


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        ('size="8"', 'size=" 8 bytes"', "size", 8),
        ("DisablePayloadBackoff", "IsDeltaPayload", "is_delta", True),
        ("DisablePayloadBackoff", "needsadmin", "needs_admin", True),
        ("DisablePayloadBackoff", "Prompt", "prompt", True),
        ('DisablePayloadBackoff="true"', 'deadline="now"', "deadline", "now"),
        ('DisablePayloadBackoff="true"', 'MoreInfo="http://x"', "more_info", "http://x"),
        ("DisablePayloadBackoff", "Other", "disable_backoff", False),
        ('off="true"', 'off="true" MaxFailureCountPerUrl="3"', "failures_per_url_max", 3),
        ('off="true"', 'off="true" MaxFailureCountPerUrl="-1"', "failures_per_url_max", 10),
        ('off="true"', 'off="true" MaxFailureCountPerUrl="9999999999"', "failures_per_url_max", 10),
        ('version="1185.5.0"', "", "version", ""),
        ("<actions>", '<actions><action event="update"/>', "sha256", SHA256),
        ('status="ok">\n\t\t<ping', 'status="error-x">\n\t\t<ping', "size", 8),
    ],
)
def test_fields(old, new, field, value):
    assert getattr(response.parse(_changed(old, new)).update, field) == value


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('updatecheck status="ok"', 'updatecheck status="error-internal"', 34),
        ('updatecheck status="ok"', "updatecheck", 34),
        ("updatecheck", "update", 34),
        ("manifest", "other", 34),
        ('<url codebase="http://10.1.2.3:8080/b/">', "<url>", 34),
        ("<urls>", "<urls/><none>", 31),
        ("package ", "other ", 31),
        ('name="update.gz"', "", 34),
        ('size="8"', 'size="0"', 34),
        ('size="8"', 'size="-8"', 34),
        ('size="8"', 'size="x"', 34),
        ('size="8"', "", 34),
        ('event="postinstall"', 'event="update"', 34),
        (f'sha256="{SHA256}" Dis', "Dis", 34),
        (f'sha256="{SHA256}" Dis', 'sha256="" Dis', 34),
        ("</response>", "", 31),
        ("<response", "<!DOCTYPE x><response", 31),
        ("response", "answer", 34),
    ],
)
def test_what_cannot_be_used_has_a_code(old, new, code):
    with pytest.raises(ResponseError) as caught:
        response.parse(_changed(old, new))
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["HASH1234=", "lkq34j5345", "abcd", "%%%", f"{SHA256}="])
def test_what_is_no_digest_is_the_payloads_problem(text):
    """update_engine 0.4.10 takes any text here, and compares it in the end."""
    update = response.parse(_changed(SHA256, text)).update
    assert (update.sha256, update.digest()) == (text, b"")


def test_nothing_at_all():
    with pytest.raises(ResponseError) as caught:
        response.parse(b"")
    assert caught.value.code is ErrorCode.OMAHA_REQUEST_EMPTY_RESPONSE


def test_a_refusal_names_the_reason():
    with pytest.raises(ResponseError, match="error-updatesDisabled") as caught:
        response.parse((DATA / "hold-coreroller.xml").read_bytes())
    assert caught.value.code is ErrorCode.OMAHA_RESPONSE_INVALID


@pytest.mark.parametrize(
    ("attribute", "seconds"),
    [
        ("", 0),
        (' PollInterval="120"', 120),
        (' PollInterval="soon"', 0),
        (' PollInterval="-5"', 0),
        (' PollInterval="2147483647"', 2147483647),
        (' PollInterval="2147483648"', 0),
    ],
)
def test_no_update(attribute, seconds):
    text = f'<response><app><updatecheck status="noupdate"{attribute}/></app></response>'
    assert response.parse(text.encode()) == (None, seconds)


def test_poll_interval_is_written():
    app = AppReply("a", update_status="noupdate", poll_interval_s=600)
    assert response.parse(response.write((app,), server="s")) == (None, 600)


@settings(deadline=None)
@given(st.text())
def test_every_text_can_be_an_attribute(text):
    element = xml.Element("a", {"b": text}, [])
    read = xml.parse(xml.write(element).encode()).get("b")
    assert [c for c in read if c != "\ufffd"] == [
        c for c in text if c in read and c != "\ufffd" and (c >= " " or c in "\t\n\r")
    ]
    assert len(read) == len(text)


def test_every_byte_of_an_offer():
    """Another one is not XML any more, or lacks something, or it is another offer, or harmless."""
    offer = (DATA / "offer-go-omaha.xml").read_bytes()
    seen = set()
    for at, byte in enumerate(offer):
        for mask in (1, 0x10, 0xFF):
            data = offer[:at] + bytes((byte ^ mask,)) + offer[at + 1 :]
            try:
                assert response.parse(data).update
                seen.add(0)
            except ResponseError as err:
                seen.add(err.code)
    assert seen == {0, 31, 34}


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_bytes_never_crash_the_reader(data):
    offer = (DATA / "offer-go-omaha.xml").read_bytes()
    for candidate in (data, offer[:200] + data + offer[200:]):
        with contextlib.suppress(ResponseError):
            assert response.parse(candidate).update


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (268435466, "PAYLOAD_HASH_MISMATCH (10)"),
        (268437959, "HTTP 503 (2503)"),
        (2000, "OMAHA_REQUEST_HTTP_BASE (2000)"),
        (268435456 + 777, "unknown (777)"),
        ((1 << 30) + 9, "DOWNLOAD_TRANSFER_ERROR (9)"),
    ],
)
def test_codes_in_words(code, text):
    assert codes.describe(code) == text
