"""CRC-32C: known answers, chaining, and the two implementations against each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base.crc import crc32c, crc32c_tables

# RFC 3720 B.4, and the check value of the catalogue of parametrised CRC algorithms.
KNOWN = [
    (b"", 0),
    (b"123456789", 0xE3069283),
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
]


@pytest.mark.parametrize("function", [crc32c, crc32c_tables])
@pytest.mark.parametrize(("data", "expected"), KNOWN)
def test_known_answers(function, data, expected):
    assert function(data, 0) == expected


@given(st.binary(max_size=200), st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_the_tables_agree_with_the_chosen_one_and_chain(first, second, start):
    whole = crc32c_tables(first + second, start)
    assert whole == crc32c(first + second, start)
    assert whole == crc32c_tables(second, crc32c_tables(first, start))


def test_the_c_module_is_chosen_when_it_is_there():
    module = pytest.importorskip("crc32c")
    assert crc32c is module.crc32c


def test_views_are_taken_as_they_are():
    assert crc32c_tables(memoryview(b"xx123456789")[2:], 0) == 0xE3069283
