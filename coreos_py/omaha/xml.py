"""The XML that Omaha needs: a bounded reader that knows no entities, and Go's escaping.

Mirrors what libxml2 reads in update_engine 0.4.10 and encoding/xml writes in go-omaha: documents of
elements with attributes; character data is passed over. A document type is refused, so no entity
can grow.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from xml.parsers import expat

from coreos_py.base.errors import WireError

BYTES_MAX = 1 << 20
DEPTH_MAX = 32
ELEMENTS_MAX = 10_000


class Element(NamedTuple):
    """One element: its name, its attributes and the elements inside."""

    name: str
    attributes: dict[str, str]
    children: list[Element]

    def get(self, name: str, default: str = "") -> str:
        """An attribute's value."""
        return self.attributes.get(name, default)

    def all(self, *path: str) -> list[Element]:
        """Every element down this path of names."""
        found = [self]
        for name in path:
            found = [child for item in found for child in item.children if child.name == name]
        return found

    def first(self, *path: str) -> Element | None:
        """The first element down this path, anywhere among the parents' siblings."""
        return next(iter(self.all(*path)), None)


def parse(data: bytes, *, bytes_max: int = BYTES_MAX) -> Element:
    """The root element; WireError when it is no document, or too large, deep or clever."""
    if len(data) > bytes_max:
        raise WireError(f"XML of {len(data)} bytes is too large", status_hint=413)
    root: list[Element] = []
    above: list[Element] = []
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(above) >= DEPTH_MAX or count > ELEMENTS_MAX:
            raise WireError("XML is nested too deeply or has too many elements")
        element = Element(name, attributes, [])
        (above[-1].children if above else root).append(element)
        above.append(element)

    def end(_name: str) -> None:
        above.pop()

    def doctype(*_args: object) -> None:
        raise WireError("XML with a document type is not accepted")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as err:
        raise WireError(f"not XML: {err}") from None
    except (ValueError, LookupError) as err:  # an encoding that Python does not know
        raise WireError(f"not XML: {err}") from None
    return root[0]


_GO = str.maketrans(
    {
        '"': "&#34;",
        "'": "&#39;",
        "&": "&amp;",
        "<": "&lt;",
        ">": "&gt;",
        "\t": "&#x9;",
        "\n": "&#xA;",
        "\r": "&#xD;",
    }
)


NO_CHAR = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ODD = re.compile("[^\x20!#-%(-;=?-~]")


def escape(text: str) -> str:
    """An attribute's value as Go's encoding/xml writes it; what XML cannot hold becomes U+FFFD."""
    if not _ODD.search(text):
        return text
    return NO_CHAR.sub("\ufffd", text).translate(_GO)


def write(element: Element, *, indent: str = "", depth: int = 0) -> str:
    """The element as Go's encoder writes it: never `<a/>`; with `indent`, one line per element."""
    attributes = "".join(f' {name}="{escape(text)}"' for name, text in element.attributes.items())
    line = indent * depth
    if not element.children:
        return f"{line}<{element.name}{attributes}></{element.name}>"
    inner = [write(child, indent=indent, depth=depth + 1) for child in element.children]
    if not indent:
        return f"<{element.name}{attributes}>{''.join(inner)}</{element.name}>"
    body = "\n".join(inner)
    return f"{line}<{element.name}{attributes}>\n{body}\n{line}</{element.name}>"
