"""Versions as blang/semver 3 reads and sorts them."""

from __future__ import annotations

import itertools

import pytest

from coreos_py.roller import semver

# From semver.org's and blang's rules, the oldest first.
ORDER = (
    "0.0.0",
    "0.0.1-0",
    "0.0.1",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.2.0",
    "1.10.0",
    "766.3.0",
    "766.4.0",
    "1000.0.0",
    "9223372036854775807.0.0",
)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(ORDER, 2)))
def test_order(one, other):
    assert semver.is_older(one, other)
    assert not semver.is_older(other, one)


@pytest.mark.parametrize("version", ["1.2.3+build.5", "1.2.3-a-b.c+001", "1.2.3--", "0.0.0-0a"])
def test_valid(version):
    assert semver.is_valid(version)


@pytest.mark.parametrize(
    "version",
    [
        *("", "1", "1.2", "1.2.3.4", "v1.2.3", " 1.2.3", "1.2.3 ", "01.2.3", "1.02.3", "1.2.03"),
        *("1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3+", "1.2.3+a..b", "1.2.3-ä", "ForcedUpdate"),
        *("1.2.3\n", "99999999999999999999.0.0", "1.2.3-" + "a" * 250, "-1.0.0", "\u0661.0.0"),
    ],
)
def test_invalid(version):
    assert not semver.is_valid(version)
    assert not semver.is_older(version, "9.9.9")
    assert not semver.is_older("0.0.0", version)


def test_build_metadata_does_not_count():
    assert not semver.is_older("1.0.0+1", "1.0.0+2")
    assert not semver.is_older("1.0.0+2", "1.0.0+1")


def test_anything_can_be_sorted():
    texts = ["2.0.0", "nonsense", "1.0.0", ""]
    assert sorted(texts, key=semver.sort_key)[2:] == ["1.0.0", "2.0.0"]
