"""Hawk: headers that coreos/hawk-go made, and what is no good header."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import WireError
from coreos_py.http import hawk

# Recorded from updateservicectl 2.1.0; the last path was sent escaped, and signed as it reads.
REQUEST = {"host": "127.0.0.1", "port": "18999"}
RECORDED = [
    (
        "GET",
        "/_ah/api/update/v1/apps?alt=json",
        'Hawk id="usr", mac="8/sYmjBrVnM3cr7YIZlWtdMNO/TGNA0cWWnJ4XN5ByE=", '
        'ts="1795290200", nonce="mi/WLkKG"',
    ),
    (
        "POST",
        "/_ah/api/update/v1/admin/user?alt=json",
        'Hawk id="usr", mac="YrFMphBg7yR7eqJRlUIm+KBlcwGCNUNzpfK5rA+fT5Y=", '
        'ts="1795290200", nonce="paRUCOlY"',
    ),
    (
        "PATCH",
        "/_ah/api/update/v1/apps/a b/ü%?alt=json",
        'Hawk id="usr", mac="ZXBumHvcJ83/FR5eJaTzHIRym2DtkL3TL7IiNY2/wUk=", '
        'ts="1795290200", nonce="iwjwJWbW"',
    ),
    (
        "GET",
        "/_ah/api/update/v1/clientupdates?alt=json&appId=a&dateEnd=0&dateStart=0&groupId=g+h%26",
        'Hawk id="usr", mac="WR72SsXBm5c63ZDnJWwHdb3I0y60TdnteB1bWwq9AuE=", '
        'ts="1795290200", nonce="mVxIC0gW"',
    ),
]


@pytest.mark.parametrize(("method", "target", "line"), RECORDED)
def test_headers_of_hawk_go(method, target, line):
    items = hawk.parse(line)
    assert items.id == "usr"
    assert hawk.is_signed("secret key", items, method=method, target=target, **REQUEST)
    made = hawk.header(
        user="usr",
        key="secret key",
        now_s=items.ts,
        nonce=items.nonce,
        method=method,
        target=target,
        **REQUEST,
    )
    assert made == line
    for change in (
        {"method": "PUT"},
        {"target": target + "&x=1"},
        {"host": "localhost"},
        {"port": "80"},
    ):
        other = {"method": method, "target": target, **REQUEST, **change}
        assert not hawk.is_signed("secret key", items, **other)
    assert not hawk.is_signed("secret", items, method=method, target=target, **REQUEST)


GOOD = 'Hawk id="u", mac="m", ts="5", nonce="n"'


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Basic dTpw",
        "Hawk",
        "Hawk id",
        'Hawk id="',
        GOOD.replace('id="u"', 'id=""'),
        GOOD.replace('ts="5"', 'ts="x"'),
        GOOD.replace('ts="5"', 'ts="-5"'),
        GOOD.replace('ts="5"', 'ts="\u0665"'),
        GOOD.replace('ts="5", ', ""),
        GOOD.replace('nonce="n"', 'nonce="\\"'),
        GOOD.replace('nonce="n"', 'nonce="é"'),
        GOOD.replace("mac", "Mac"),
        GOOD + " x",
        GOOD + ", x=",
        GOOD + ' ext="' + "x" * 5000 + '"',
    ],
)
def test_what_is_no_header(line):
    with pytest.raises(WireError) as caught:
        hawk.parse(line)
    assert caught.value.status_hint == 401


def test_everything_a_header_may_have():
    line = 'hawk\tnonce="n",ts="5" , id="u b", mac="m",app="a",dlg="d", ext="e", hash="h", x="y"'
    items = hawk.parse(line)
    text = hawk.normalized(items, method="GET", target="/", host="h", port="80")
    assert text == "hawk.1.header\n5\nn\nGET\n/\nh\n80\nh\ne\na\nd\n"
