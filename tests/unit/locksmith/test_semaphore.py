"""The semaphore as locksmith 0.6.2 keeps it: bytes, counts, order, and Go's complaints."""

from __future__ import annotations

import pytest

from coreos_py.locksmith.semaphore import (
    INITIAL,
    BadSemaphore,
    HolderExists,
    HolderMissing,
    Semaphore,
    SemaphoreError,
    key_of,
    parse,
    parse_limit,
)

PREFIX = "/coreos.com/updateengine/rebootlock"


def value(available, limit, holders):
    return f'{{"semaphore":{available},"max":{limit},"holders":{holders}}}'


def test_life_of_a_semaphore():
    first = INITIAL
    assert first.to_json() == '{"semaphore":1,"max":1,"holders":null}'
    held = first.lock("b")
    assert held.to_json() == '{"semaphore":0,"max":1,"holders":["b"]}'
    assert held.unlock("b").to_json() == '{"semaphore":1,"max":1,"holders":[]}'
    assert first == INITIAL  # values do not change
    assert first.with_limit(4).to_json() == '{"semaphore":4,"max":4,"holders":null}'


@pytest.mark.parametrize(
    ("before", "holder", "after"),
    [
        (value(2, 3, '["b"]'), "a", value(1, 3, '["a","b"]')),
        (value(2, 3, '["b"]'), "c", value(1, 3, '["b","c"]')),
        (value(2, 4, '["a","c"]'), "b", value(1, 4, '["a","b","c"]')),
        (value(1, 2, '["é"]'), "z", value(0, 2, '["z","é"]')),
        (value(2, 3, '["\U0001f600"]'), "\uffee", value(1, 3, '["\uffee","\U0001f600"]')),
        (value(1, 1, "[]"), "<&>", value(0, 1, '["\\u003c\\u0026\\u003e"]')),
        (value(2, 2, "null"), "", value(1, 2, '[""]')),
    ],
)
def test_holders_are_sorted_by_bytes(before, holder, after):
    assert parse(before).lock(holder).to_json() == after


@pytest.mark.parametrize(
    ("before", "error", "text"),
    [
        (value(0, 1, '["a"]'), SemaphoreError, "semaphore is at 0"),  # the count comes first
        (value(-2, 1, '["a","b","c"]'), SemaphoreError, "semaphore is at -2"),
        (value(1, 2, '["a"]'), HolderExists, "holder exists"),
        (value(2, 5, '["c","b","a"]'), HolderExists, "holder exists"),  # written by hand
    ],
)
def test_lock_refused(before, error, text):
    with pytest.raises(error) as caught:
        parse(before).lock("a")
    assert str(caught.value) == text


@pytest.mark.parametrize("before", [value(1, 1, "null"), value(0, 1, '["b"]')])
def test_unlock_refused(before):
    with pytest.raises(HolderMissing, match="holder does not exist"):
        parse(before).unlock("a")


def test_limit_below_the_holders():
    full = parse(value(1, 4, '["a","b","c"]'))
    assert full.with_limit(1).to_json() == value(-2, 1, '["a","b","c"]')
    assert full.with_limit(0).available == -3


def test_counts_wrap_as_64_bits_do():
    lowest = -(1 << 63)
    assert parse(value(5, 5, "null")).with_limit(lowest).available == lowest
    assert Semaphore(2, 1, None).with_limit((1 << 63) - 1).available == lowest


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("{}", value(0, 0, "null")),
        ("null", value(0, 0, "null")),
        ('{"Semaphore":2,"MAX":3,"extra":{"a":[1]}}', value(2, 3, "null")),
        ('{"max":1,"max":2,"semaphore":null}', value(0, 2, "null")),
        ('{"semaphore":-0,"max":2}', value(0, 2, "null")),
        (value(2, 2, '[null,"b"]'), value(2, 2, '["","b"]')),
        (value(2, 2, '["\\ud800"]'), value(2, 2, '["\ufffd"]')),
        (f" {value(1, 1, '[]')}\n", value(1, 1, "[]")),
    ],
)
def test_read_as_go_reads(text, same):
    assert parse(text).to_json() == same


FIELD = "into Go struct field Semaphore"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("not json", "invalid character 'o' in literal null (expecting 'u')"),
        ('{"max":1} x', "invalid character 'x' after top-level value"),
        ('{"max":NaN}', "invalid character 'N' looking for beginning of value"),
        ('{"max":-Infinity}', "invalid character 'I' in numeric literal"),
        ("[]", "json: cannot unmarshal array into Go value of type lock.Semaphore"),
        ("3", "json: cannot unmarshal number into Go value of type lock.Semaphore"),
        ('"s"', "json: cannot unmarshal string into Go value of type lock.Semaphore"),
        ("true", "json: cannot unmarshal bool into Go value of type lock.Semaphore"),
        ('{"max":1.5}', f"json: cannot unmarshal number 1.5 {FIELD}.max of type int"),
        ('{"max":1e2}', f"json: cannot unmarshal number 1e2 {FIELD}.max of type int"),
        (
            '{"max":99999999999999999999}',
            f"json: cannot unmarshal number 99999999999999999999 {FIELD}.max of type int",
        ),
        ('{"max":"1"}', f"json: cannot unmarshal string {FIELD}.max of type int"),
        ('{"max":{}}', f"json: cannot unmarshal object {FIELD}.max of type int"),
        ('{"holders":"x"}', f"json: cannot unmarshal string {FIELD}.holders of type []string"),
        ('{"holders":{}}', f"json: cannot unmarshal object {FIELD}.holders of type []string"),
        ('{"holders":[1]}', f"json: cannot unmarshal number {FIELD}.holders of type string"),
        ("[" * 100_000, "exceeded max depth"),
    ],
)
def test_what_is_no_semaphore(text, problem):
    with pytest.raises(BadSemaphore) as caught:
        parse(text)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("group", "key"),
    [
        ("", f"{PREFIX}/semaphore"),
        ("web", f"{PREFIX}/groups/web/semaphore"),
        ("a b/c+%é", f"{PREFIX}/groups/a+b%2Fc%2B%25%C3%A9/semaphore"),
    ],
)
def test_keys(group, key):
    assert key_of(group) == key


@pytest.mark.parametrize(
    ("text", "number"),
    [("4", 4), ("+7", 7), ("-3", -3), ("0009", 9), ("0", 0), (str(-(1 << 63)), -(1 << 63))],
)
def test_limits(text, number):
    assert parse_limit(text) == number


@pytest.mark.parametrize(
    "text", ["", "x", "+", "-", "1_0", " 1", "0x1", "1.0", "٣", str(1 << 63), "9" * 5000]
)
def test_no_limits(text):
    with pytest.raises(ValueError, match="^" + text[:1].replace("+", "\\+")):
        parse_limit(text)
