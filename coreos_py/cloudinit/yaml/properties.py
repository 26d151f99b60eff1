"""Directives, anchors and tags: what stands before a document or a node. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from coreos_py.cloudinit.yaml.cursor import BLANKS, BLANKZ, HEX, NAME, TAG, Cursor, Mark, Token

if TYPE_CHECKING:
    from coreos_py.cloudinit.yaml.nodes import YamlError

_URI = re.compile(r"[0-9A-Za-z_\-;/?:@&=+$,.!~*'()\[\]]*")


class Properties(Cursor):
    """Reads them; the first character is the one that says what it is."""

    def _version(self, start: Mark) -> tuple[str, str]:
        self._run(BLANKS)
        major = self._version_number(start)
        if self._text[self.at] != ".":
            raise self._fail("did not find expected digit or '.' character", start)
        self.at += 1
        return major, self._version_number(start)

    def _version_number(self, start: Mark) -> str:
        begin = self.at
        while self._text[self.at] in "0123456789":
            if self.at - begin == 2:
                raise self._fail("found extremely long version number", start)
            self.at += 1
        if begin == self.at:
            raise self._fail("did not find expected version number", start)
        return self._text[begin : self.at]

    def _tag_directive(self, start: Mark) -> tuple[str, str]:
        self._run(BLANKS)
        handle = self._tag_handle(start)
        if not handle.endswith("!"):
            raise self._tag_error(start)
        if self._text[self.at] not in " \t":
            raise self._fail("did not find expected whitespace", start)
        self._run(BLANKS)
        prefix = self._tag_uri("", start)
        if self._text[self.at] not in BLANKZ:
            raise self._fail("did not find expected whitespace or line break", start)
        return handle, prefix

    def _anchor(self) -> Token:
        start = self._mark()
        kind = self._text[self.at]
        self.at += 1
        name = self._run(NAME)
        if not name or self._text[self.at] not in BLANKZ + "?:,]}%@`":
            raise self._fail("did not find expected alphabetic or numeric character", start)
        return Token(kind, start.line, name)

    def _tag(self) -> Token:
        start = self._mark()
        handle = ""
        if self._text[self.at + 1] == "<":
            self.at += 2
            suffix = self._tag_uri("", start)
            if self._text[self.at] != ">":
                raise self._fail("did not find the expected '>'", start)
            self.at += 1
        else:
            handle = self._tag_handle(start)
            if len(handle) > 1 and handle.endswith("!"):
                suffix = self._tag_uri("", start)
            else:
                suffix = self._tag_uri(handle[1:], start)
                handle = "!"
        if self._text[self.at] not in BLANKZ:
            raise self._fail("did not find expected whitespace or line break", start)
        return Token(TAG, start.line, handle, suffix)

    def _tag_handle(self, start: Mark) -> str:
        if self._text[self.at] != "!":
            raise self._tag_error(start)
        begin = self.at
        self.at += 1
        self._run(NAME)
        if self._text[self.at] == "!":
            self.at += 1
        return self._text[begin : self.at]

    def _tag_uri(self, head: str, start: Mark) -> str:
        uri = head + self._run(_URI)
        while self._text[self.at] == "%":
            uri += self._uri_escape(start) + self._run(_URI)
        if not uri:
            raise self._tag_error(start)
        return uri

    def _uri_escape(self, start: Mark) -> str:
        octets = bytearray()
        while self._text[self.at] == "%":
            digits = self._text[self.at + 1 : self.at + 3]
            if len(HEX.match(digits).group()) != 2:  # type: ignore[union-attr]  # matches ""
                raise self._tag_error(start)
            octets.append(int(digits, 16))
            self.at += 3
        try:
            return octets.decode()
        except UnicodeDecodeError:
            raise self._tag_error(start) from None

    def _tag_error(self, start: Mark) -> YamlError:
        return self._fail("did not find URI escaped octet", start)  # go-yaml v1 has only this one
