"""Which hosts are asked without a proxy."""

from __future__ import annotations

import pytest

from coreos_py.http.no_proxy import needs_none


@pytest.mark.parametrize(
    ("host", "exceptions", "direct"),
    [
        ("a.example", "*", True),
        ("a.example", "example", True),
        ("a.example", ".example", True),
        ("example", ".example", True),
        ("A.Example", "b, a.eXample ", True),
        ("a.example", "a.example:8080", True),
        ("notexample", "example", False),
        ("a.example", "", False),
        ("a.example", ",.,:80", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("110.1.2.3", "10.1.2.3", False),
        ("::1", "[::1]", True),
        ("fd00::5", "fd00::/8", True),
        ("a.example", "10.0.0.0/8", False),
    ],
)
def test_exceptions(host, exceptions, direct):
    assert needs_none(host, exceptions.split(",")) is direct
