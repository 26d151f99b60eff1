"""Member URLs: what is accepted, how it is spelled afterwards, and what refusals say."""

from __future__ import annotations

import pytest

from coreos_py.etcd import urls

GOOD = [
    ("http://localhost:2380", "http://localhost:2380"),
    ("  https://10.0.0.1:1  ", "https://10.0.0.1:1"),
    ("HTTP://Host:2", "http://Host:2"),
    ("http://[::1]:2379", "http://[::1]:2379"),
    ("http://:2379", "http://:2379"),
    ("http://h:", "http://h:"),
    ("http://h:1?x=1", "http://h:1?x=1"),
]

# Texts of etcd 2.3.8 built with Go 1.19.
BAD = [
    ("", "URL scheme must be http or https: "),
    ("http://foo", 'URL address does not have the form "host:port": http://foo'),
    ("http://a:1/", "URL must not contain a path: http://a:1/"),
    ("http://a:1/x", "URL must not contain a path: http://a:1/x"),
    ("ftp://a:1", "URL scheme must be http or https: ftp://a:1"),
    ("a:1", "URL scheme must be http or https: a:1"),
    ("http://a b:1", 'parse "http://a b:1": invalid character " " in host name'),
    ("127.0.0.1:1", 'parse "127.0.0.1:1": first path segment in URL cannot contain colon'),
    ("://a:1", 'parse "://a:1": missing protocol scheme'),
    ("http://a:b", 'parse "http://a:b": invalid port ":b" after host'),
    ("http://[::1:2", "parse \"http://[::1:2\": missing ']' in host"),
    ("http://::1:2", 'URL address does not have the form "host:port": http://::1:2'),
    ("%zz", 'parse "%zz": invalid URL escape "%zz"'),
    ("http://a%4:1", 'parse "http://a%4:1": invalid URL escape "%4:"'),
    ("http:a:1", 'URL address does not have the form "host:port": http:a:1'),
]


@pytest.mark.parametrize(("text", "want"), GOOD)
def test_accepts(text, want):
    assert urls.parse_url(text) == want


@pytest.mark.parametrize(("text", "want"), BAD)
def test_refuses_in_upstream_words(text, want):
    with pytest.raises(urls.BadURL) as caught:
        urls.parse_url(text)
    assert str(caught.value) == want


def test_lists_are_sorted_and_not_empty():
    assert urls.parse_urls(["http://b:1", "http://a:1"]) == ("http://a:1", "http://b:1")
    with pytest.raises(urls.BadURL, match="no valid URLs given"):
        urls.parse_urls([])


def test_map_collects_repeated_names():
    found = urls.parse_urls_map("a=http://h:2,b=http://h:3,,a=http://h:1")
    assert found == {"a": ("http://h:1", "http://h:2"), "b": ("http://h:3",)}
    assert urls.format_urls_map(found) == "a=http://h:1,a=http://h:2,b=http://h:3"
    assert not urls.has_duplicate_url(found)
    assert urls.has_duplicate_url({"a": ("http://h:1",), "b": ("http://h:1",)})


@pytest.mark.parametrize(
    ("url", "want"),
    [
        ("http://h:1", ("http", "h", "1")),
        ("https://[::1]:2379", ("https", "::1", "2379")),
        ("http://u:p@h:1", ("http", "h", "1")),
        ("http://:7", ("http", "", "7")),
    ],
)
def test_address(url, want):
    assert urls.address(url) == want
