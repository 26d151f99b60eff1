"""Go's %q, against what Go 1.19 prints."""

from __future__ import annotations

import pytest

from coreos_py.base import gostring


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ("plain", '"plain"'),
        ("it's <&>", '"it\'s <&>"'),
        ('a "b" \\', r'"a \"b\" \\"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\x00\x1b\x7f", r'"\x00\x1b\x7f"'),
        ("é€\U0001f600", '"é€\U0001f600"'),
        ("\u00a0\u200b\ufeff\U000e0001", r'"\u00a0\u200b\ufeff\U000e0001"'),
        ("\udcff", r'"\xff"'),
    ],
)
def test_strings(text, quoted):
    assert gostring.quote(text) == quoted


@pytest.mark.parametrize(
    ("char", "quoted"),
    [("a", "'a'"), ("'", r"'\''"), ('"', "'\"'"), ("\n", r"'\n'"), ("\udcff", "'\ufffd'")],
)
def test_characters(char, quoted):
    assert gostring.quote_rune(char) == quoted
