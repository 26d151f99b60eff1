"""The short way to read JSON agrees with json.loads, in what it returns and in what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreos_py.base import jsonload
from tests.support.imports import ROOT

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
REFUSED = [
    b"",
    b"  ",
    b"{",
    b'{"a":}',
    b'{"a":1,}',
    b"[1 2]",
    b"{} x",
    b"nul",
    b'"a',
    b'"\\x"',
    b'"\n"',
    b"\xff",
    b"01",
    b"'a'",
]


def outcome(read, data):
    try:
        return read(data)
    except ValueError as error:
        return type(error), str(error)


@given(VALUES, st.sampled_from([None, 1]), st.sampled_from(["", " ", "\r\n\t "]))
def test_documents(value, indent, space):
    data = f"{space}{json.dumps(value, indent=indent)}{space}".encode()
    assert jsonload.loads(data) == value


ODD = [b"\xef\xbb\xbf{}", "[1]".encode("utf-16"), b"[-Infinity, Infinity]", b"1e999"]


@pytest.mark.parametrize("data", REFUSED + ODD)
def test_the_rest(data):
    assert outcome(jsonload.loads, data) == outcome(json.loads, data)


@given(st.binary() | st.text(alphabet='{}[]",:0123456789.eE+-tfnul\\ \n').map(str.encode))
def test_anything(data):
    assert repr(outcome(jsonload.loads, data)) == repr(outcome(json.loads, data))


def test_without_the_c_part(monkeypatch):
    monkeypatch.setattr(jsonload, "_scan", None)
    assert jsonload.loads(b'{"a": [1]}') == {"a": [1]}


def test_json_is_imported_for_its_errors_only():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from coreos_py.base.jsonload import loads\n"
        "assert loads(b'{\"a\": [1, null]}') == {'a': [1, None]}\n"
        "assert 'json' not in sys.modules and 're' not in sys.modules\n"
        "for bad in (b'{', b'', b'[1,]', b'\"a'):\n"
        "    try: loads(bad)\n"
        "    except ValueError as error: assert type(error).__name__ == 'JSONDecodeError'\n"
        "    else: raise AssertionError(bad)\n"
    )
    subprocess.run([sys.executable, "-IS", "-c", code, str(ROOT)], check=True, timeout=120)
