"""The reply shapes that endpoints share."""

from __future__ import annotations

import pytest

from coreos_py.etcd import replies


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/v2/keys/a?value=b", b"/v2/keys/a?value=b"),
        ("/v2/keys/a?value=\u00e9", b"/v2/keys/a?value=%c3%a9"),
        ("/v2/keys/a?value=\udcff", b"/v2/keys/a?value=%ff"),
    ],
)
def test_a_redirect_spells_location_in_ascii(location: str, sent: bytes) -> None:
    # etcd 2.3.8 built with Go 1.19 escapes what is not ASCII in the header, in lower case.
    for method in ("GET", "PUT", "HEAD"):
        assert b"Location: " + sent + b"\r\n" in replies.redirect(location, method=method).headers
