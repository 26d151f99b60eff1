"""From tokens to the tree of a text's first document; go-yaml v1 never looks at later ones.

Mirrors parserc.go and decode.go of the fork in coreos-cloudinit 1.13.0. Pure.
"""

from __future__ import annotations

import re

from coreos_py.cloudinit.yaml import cursor, nodes
from coreos_py.cloudinit.yaml.cursor import Token
from coreos_py.cloudinit.yaml.nodes import Document, Node, YamlError
from coreos_py.cloudinit.yaml.scanner import Scanner

# go-yaml v1 has no limit; here the walkers that follow are recursive.
DEPTH_MAX = 100

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_RAW_BYTES = 512  # libyaml checks its input in pieces of this size
_LOOKAHEAD = 4
_INCOMPLETE = "incomplete UTF-8 octet sequence"  # found at the end only, when all else is read
_HANDLES = {"!": "!", "!!": "tag:yaml.org,2002:"}


def parse(data: bytes) -> Document:
    """The first document; YamlError."""
    text, problem = _readable(data)
    tokens = Scanner(text)
    try:
        document = _Parser(tokens).document()
    except YamlError:
        if problem and tokens.at + _LOOKAHEAD >= len(text):
            raise YamlError(problem) from None
        raise
    if problem and tokens.at + _LOOKAHEAD >= len(text):
        raise YamlError(problem)
    return document


def _readable(data: bytes) -> tuple[str, str]:
    """The text up to the piece that is not acceptable, and what is wrong with that."""
    problem = ""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        problem = _utf8_problem(data, error)
        data = data[: error.start]
        text = data.decode()
    bad = _UNPRINTABLE.search(text)
    if bad is not None:
        problem = "control characters are not allowed"
        data = text[: bad.start()].encode()
    if problem and problem != _INCOMPLETE:
        text = data[: len(data) // _RAW_BYTES * _RAW_BYTES].decode(errors="ignore")
    return text, problem


def _utf8_problem(data: bytes, error: UnicodeDecodeError) -> str:
    first = data[error.start]
    if 0x80 <= first < 0xC0 or first >= 0xF8:
        return "invalid leading UTF-8 octet"
    width = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    rest = data[error.start + 1 : error.start + width]
    if len(rest) < width - 1:
        return _INCOMPLETE
    if any(octet & 0xC0 != 0x80 for octet in rest):
        return "invalid trailing UTF-8 octet"
    code = first & (0x7F >> width)
    for octet in rest:
        code = code << 6 | octet & 0x3F
    if code < (0, 0, 0x80, 0x800, 0x10000)[width]:
        return "invalid length of a UTF-8 sequence"
    return "invalid Unicode character"


class _Parser:
    def __init__(self, tokens: Scanner) -> None:
        self._tokens = tokens
        self._handles = dict(_HANDLES)
        self._anchors: dict[str, Node] = {}
        self._depth = 0

    def document(self) -> Document:
        """The first document, up to what shows that another one begins properly."""
        token = self._tokens.peek()
        if token.kind == cursor.STREAM_END:
            return Document(None, {})
        if token.kind in (
            cursor.DIRECTIVE_VERSION,
            cursor.DIRECTIVE_TAG,
            cursor.DOCUMENT_START,
        ):
            self._explicit_start()
            root = self._explicit_content()
        else:
            root = self._node(block=True)
        self._end()
        return Document(root, self._anchors)

    def _explicit_start(self) -> None:
        self._directives()
        token = self._tokens.peek()
        if token.kind != cursor.DOCUMENT_START:
            raise YamlError("did not find expected <document start>", line=token.line)
        self._tokens.take()

    def _explicit_content(self) -> Node:
        if self._tokens.peek().kind in (
            cursor.DIRECTIVE_VERSION,
            cursor.DIRECTIVE_TAG,
            cursor.DOCUMENT_START,
            cursor.DOCUMENT_END,
            cursor.STREAM_END,
        ):
            return _empty()
        return self._node(block=True)

    def _end(self) -> None:
        while self._tokens.peek().kind == cursor.DOCUMENT_END:
            self._tokens.take()
        if self._tokens.peek().kind != cursor.STREAM_END:
            self._explicit_start()

    def _directives(self) -> None:
        has_version = False
        handles: dict[str, str] = {}
        while True:
            token = self._tokens.peek()
            if token.kind == cursor.DIRECTIVE_VERSION:
                if has_version:
                    raise YamlError("found duplicate %YAML directive", line=token.line)
                if (int(token.value), int(token.extra)) != (1, 1):
                    raise YamlError("found incompatible YAML document", line=token.line)
                has_version = True
            elif token.kind == cursor.DIRECTIVE_TAG:
                if token.value in handles:
                    raise YamlError("found duplicate %TAG directive", line=token.line)
                handles[token.value] = token.extra
            else:
                break
            self._tokens.take()
        self._handles = {**_HANDLES, **handles}

    # -- nodes

    def _node(self, *, block: bool, indentless: bool = False) -> Node:
        token = self._tokens.peek()
        if token.kind == cursor.ALIAS:
            self._tokens.take()
            return Node(nodes.ALIAS, token.value)
        anchor, tag = self._properties()
        start, token = token, self._tokens.peek()
        node = self._content(token, tag, block=block, indentless=indentless)
        if node is None:
            if not anchor and not tag:
                line = token.line or start.line
                raise YamlError("did not find expected node content", line=line)
            node = Node(nodes.SCALAR, tag=tag, is_plain=not tag)
        if anchor:
            self._anchors[anchor] = node
        if node.kind in (nodes.SEQUENCE, nodes.MAPPING):
            self._fill(node, token, indentless=indentless)
        return node

    def _properties(self) -> tuple[str, str]:
        """An anchor and a tag in either order, each "" when missing."""
        anchor: Token | None = None
        tag: Token | None = None
        start = self._tokens.peek()
        for _ in range(2):
            token = self._tokens.peek()
            if token.kind == cursor.ANCHOR and anchor is None:
                anchor = self._tokens.take()
            elif token.kind == cursor.TAG and tag is None:
                tag = self._tokens.take()
            else:
                break
        if anchor is not None or tag is not None:
            self._tokens.peek()  # libyaml looks at the content before it resolves the tag
        return (anchor.value if anchor else "", self._full_tag(tag, start) if tag else "")

    def _full_tag(self, token: Token, start: Token) -> str:
        if not token.value:
            return token.extra
        prefix = self._handles.get(token.value)
        if prefix is None:
            raise YamlError("found undefined tag handle", line=token.line or start.line)
        return prefix + token.extra

    def _content(self, token: Token, tag: str, *, block: bool, indentless: bool) -> Node | None:
        """The node that starts with this token, collections still empty; None: there is none."""
        if token.kind == cursor.SCALAR:
            self._tokens.take()
            is_plain = tag == "!" or (not tag and token.is_plain)
            return Node(nodes.SCALAR, token.value, tag=tag, is_plain=is_plain)
        if token.kind == cursor.FLOW_SEQUENCE_START:
            return Node(nodes.SEQUENCE, tag=tag)
        if token.kind == cursor.FLOW_MAPPING_START:
            return Node(nodes.MAPPING, tag=tag)
        if block and token.kind == cursor.BLOCK_SEQUENCE_START:
            return Node(nodes.SEQUENCE, tag=tag)
        if block and token.kind == cursor.BLOCK_MAPPING_START:
            return Node(nodes.MAPPING, tag=tag)
        if indentless and token.kind == cursor.BLOCK_ENTRY:
            return Node(nodes.SEQUENCE, tag=tag)
        return None

    def _fill(self, node: Node, token: Token, *, indentless: bool) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise YamlError(f"collections are nested deeper than {DEPTH_MAX}", line=token.line)
        if token.kind == cursor.BLOCK_ENTRY:
            assert indentless
            self._indentless_sequence(node)
        else:
            self._tokens.take()
            fill = {
                cursor.BLOCK_SEQUENCE_START: self._block_sequence,
                cursor.BLOCK_MAPPING_START: self._block_mapping,
                cursor.FLOW_SEQUENCE_START: self._flow_sequence,
                cursor.FLOW_MAPPING_START: self._flow_mapping,
            }[token.kind]
            fill(node, token)
        self._depth -= 1

    # -- block collections

    def _block_sequence(self, node: Node, start: Token) -> None:
        while (token := self._tokens.peek()).kind == cursor.BLOCK_ENTRY:
            self._tokens.take()
            if self._tokens.peek().kind in (cursor.BLOCK_ENTRY, cursor.BLOCK_END):
                node.children.append(_empty())
            else:
                node.children.append(self._node(block=True))
        if token.kind != cursor.BLOCK_END:
            raise YamlError("did not find expected '-' indicator", line=token.line or start.line)
        self._tokens.take()

    def _indentless_sequence(self, node: Node) -> None:
        while self._tokens.peek().kind == cursor.BLOCK_ENTRY:
            self._tokens.take()
            if self._tokens.peek().kind in (cursor.BLOCK_ENTRY, *_AFTER_BLOCK_KEY):
                node.children.append(_empty())
            else:
                node.children.append(self._node(block=True))

    def _block_mapping(self, node: Node, start: Token) -> None:
        while (token := self._tokens.peek()).kind == cursor.KEY:
            self._tokens.take()
            node.children.append(self._block_part())
            if self._tokens.peek().kind == cursor.VALUE:
                self._tokens.take()
                node.children.append(self._block_part())
            else:
                node.children.append(_empty())
        if token.kind != cursor.BLOCK_END:
            raise YamlError("did not find expected key", line=token.line or start.line)
        self._tokens.take()

    def _block_part(self) -> Node:
        if self._tokens.peek().kind in _AFTER_BLOCK_KEY:
            return _empty()
        return self._node(block=True, indentless=True)

    # -- flow collections

    def _flow_sequence(self, node: Node, start: Token) -> None:
        end = cursor.FLOW_SEQUENCE_END
        while self._flow_goes_on(node, start, end=end):
            if self._tokens.peek().kind == cursor.KEY:
                node.children.append(self._single_pair())
            else:
                node.children.append(self._node(block=False))
        self._tokens.take()

    def _single_pair(self) -> Node:
        """`[a: b]`: a mapping of one pair without braces."""
        pair = Node(nodes.MAPPING)
        self._tokens.take()
        ends = (cursor.FLOW_ENTRY, cursor.FLOW_SEQUENCE_END)
        if self._tokens.peek().kind in (cursor.VALUE, *ends):
            self._tokens.take()  # libyaml drops what ended the empty key
            pair.children.append(_empty())
        else:
            pair.children.append(self._node(block=False))
        pair.children.append(self._flow_value(ends))
        return pair

    def _flow_mapping(self, node: Node, start: Token) -> None:
        end = cursor.FLOW_MAPPING_END
        ends = (cursor.FLOW_ENTRY, end)
        while self._flow_goes_on(node, start, end=end):
            if self._tokens.peek().kind != cursor.KEY:
                node.children.append(self._node(block=False))
                self._tokens.peek()
                node.children.append(_empty())
                continue
            self._tokens.take()
            if self._tokens.peek().kind in (cursor.VALUE, *ends):
                node.children.append(_empty())
            else:
                node.children.append(self._node(block=False))
            node.children.append(self._flow_value(ends))
        self._tokens.take()

    def _flow_goes_on(self, node: Node, start: Token, *, end: str) -> bool:
        """True before another entry; the comma that separates it is consumed."""
        token = self._tokens.peek()
        if node.children and token.kind != end:
            if token.kind != cursor.FLOW_ENTRY:
                text = f"did not find expected ',' or '{end}'"
                raise YamlError(text, line=token.line or start.line)
            self._tokens.take()
        return self._tokens.peek().kind != end

    def _flow_value(self, ends: tuple[str, ...]) -> Node:
        if self._tokens.peek().kind == cursor.VALUE:
            self._tokens.take()
            if self._tokens.peek().kind not in ends:
                return self._node(block=False)
        return _empty()


_AFTER_BLOCK_KEY = (cursor.KEY, cursor.VALUE, cursor.BLOCK_END)


def _empty() -> Node:
    return Node(nodes.SCALAR, is_plain=True)
