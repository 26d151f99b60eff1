"""Paths as Go's path package cleans them. Pure text: looks at no file."""

from __future__ import annotations

import posixpath


def clean(path: str) -> str:
    """path.Clean: no empty part, no `.`, no `..` that can be resolved; "" becomes "."."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def canonical(path: str) -> str:
    """What net/http's ServeMux would serve: the path from the root; a slash at the end stays."""
    cleaned = clean("/" + path)
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned
