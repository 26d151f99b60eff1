"""Paths as Go cleans them."""

from __future__ import annotations

import pytest

from coreos_py.base import gopath


@pytest.mark.parametrize(
    ("path", "clean", "canonical"),
    [
        ("", ".", "/"),
        ("/", "/", "/"),
        ("//", "/", "/"),
        ("a", "a", "/a"),
        ("a/", "a", "/a/"),
        ("//a//b///", "/a/b", "/a/b/"),
        ("/a/./b", "/a/b", "/a/b"),
        ("/a/b/..", "/a", "/a"),
        ("/a/..", "/", "/"),
        ("/../../a", "/a", "/a"),
        ("../a", "../a", "/a"),
        ("./", ".", "/"),
        ("/a/..b/", "/a/..b", "/a/..b/"),
        ("/\udcff/", "/\udcff", "/\udcff/"),
    ],
)
def test_paths(path, clean, canonical):
    assert gopath.clean(path) == clean
    assert gopath.canonical(path) == canonical
