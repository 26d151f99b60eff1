"""Paths as Go's path package cleans them. Pure text: looks at no file."""

from __future__ import annotations

import posixpath


def clean(path: str) -> str:
    """path.Clean: no empty part, no `.`, no `..` that can be resolved; "" becomes "."."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned
