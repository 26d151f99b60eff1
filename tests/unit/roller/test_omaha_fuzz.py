"""Requests from nobody's client: every one gets an answer, and no fault."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import rollerdb

WORDS = st.one_of(
    st.sampled_from(["", "1.0.0", "main", "m1", "{b}", "9" * 400, "1.0.0-" + "a" * 249]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=60),
)
NUMBERS = st.one_of(
    st.sampled_from(["3", "13", "0", "1", "2", "-1", "9" * 18, "-" + "9" * 18, "9" * 19, "x", ""]),
    st.integers(-5, 900).map(str),
)
APP = ("appid", "version", "track", "machineid", "bootid", "oem", "board", "machinealias")
EVENT = ("eventtype", "eventresult", "errorcode")


def _element(name, attributes, inside=""):
    words = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{words}>{inside}</{name}>"


EVENTS = st.builds(
    lambda numbers, previous: _element("event", {**numbers, "previousversion": previous}),
    st.fixed_dictionaries({}, optional=dict.fromkeys(EVENT, NUMBERS)),
    WORDS,
)
INSIDE = st.lists(
    st.one_of(st.sampled_from(["<ping/>", "<updatecheck/>", "<unknown/>"]), EVENTS), max_size=5
).map("".join)
APPS = st.builds(
    lambda known, odd, inside: _element("app", {**known, **odd}, inside),
    st.just(
        {
            "appid": "{e96281a6-d1af-4bde-9a0a-97b76e56dc57}",
            "version": "1.0.0",
            "track": "main",
            "machineid": "m1",
        }
    ),
    st.fixed_dictionaries({}, optional=dict.fromkeys(APP, WORDS)),
    INSIDE,
)
REQUESTS = st.lists(APPS, max_size=3).map(
    lambda apps: _element("request", {"protocol": "3.0"}, "".join(apps)).encode()
)


@st.composite
def damaged(draw):
    """A request with some bytes replaced."""
    data = bytearray(draw(REQUESTS))
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@pytest.mark.parametrize("compat", [False, True], ids=["friendly", "coreroller"])
def test_every_request_gets_an_answer(both, compat):
    """In both databases: what one of them cannot hold must not get that far."""

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.one_of(REQUESTS, REQUESTS, damaged()), max_size=4))
    def send(bodies):
        with rollerdb.undone(both) as tx:
            server = rollerdb.Server(tx, compat=compat)
            for body in bodies:
                response = server.post(body)
                assert response.status in ((200,) if compat else (200, 400))
                if response.status == 400:
                    assert response.body.count(b"\n") == 1

    send()
