"""JSON reading that does not care how deep the document is nested.

The C parser of the standard library recurses and gives up near a thousand levels; a client can
store a key with that many components. So ordinary documents take the C parser and only those it
refuses take the slower reader here, which keeps its own stack.
"""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]  # absent from typeshed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Hook = Callable[[dict[str, object]], object]

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)|null|true|false")
_WORDS: dict[str, object] = {"null": None, "true": True, "false": False}


def loads(text: str, object_hook: Hook) -> object:
    """json.loads with `object_hook`, for any depth."""
    try:
        return JSONDecoder(object_hook=object_hook).decode(text)
    except RecursionError:
        return _Reader(text, object_hook).read()


class _Reader:
    """One pass over the text; `stack` holds the containers that are still open."""

    def __init__(self, text: str, object_hook: Hook) -> None:
        self.text = text
        self.hook = object_hook
        self.at = 0

    def read(self) -> object:
        """The document's value."""
        stack: list[tuple[dict[str, object] | list[object], str]] = []
        while True:
            done, value = self._open(stack)
            while done:
                if not stack:
                    if self._peek():
                        raise self._error("extra data")
                    return value
                done, value = self._attach(stack, value)

    def _open(
        self, stack: list[tuple[dict[str, object] | list[object], str]]
    ) -> tuple[bool, object]:
        """Read a scalar or an empty container, or push a container that has members."""
        char = self._peek()
        if char == "{":
            self.at += 1
            if self._take("}"):
                return True, self.hook({})
            stack.append(({}, self._name()))
            return False, None
        if char == "[":
            self.at += 1
            if self._take("]"):
                return True, []
            stack.append(([], ""))
            return False, None
        return True, self._scalar(char)

    def _attach(
        self, stack: list[tuple[dict[str, object] | list[object], str]], value: object
    ) -> tuple[bool, object]:
        """Put a finished value into the innermost container; True if that finishes it too."""
        container, name = stack.pop()
        if isinstance(container, dict):
            container[name] = value
            if self._take(","):
                stack.append((container, self._name()))
                return False, None
            if self._take("}"):
                return True, self.hook(container)
        else:
            container.append(value)
            if self._take(","):
                stack.append((container, ""))
                return False, None
            if self._take("]"):
                return True, container
        raise self._error("expected ',' or a closing bracket")

    def _peek(self) -> str:
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return self.text[self.at : self.at + 1]

    def _take(self, char: str) -> bool:
        if self._peek() != char:
            return False
        self.at += 1
        return True

    def _name(self) -> str:
        if self._peek() != '"':
            raise self._error("expected a member name")
        name: str
        name, self.at = scanstring(self.text, self.at + 1, True)
        if not self._take(":"):
            raise self._error("expected ':'")
        return name

    def _scalar(self, char: str) -> object:
        if char == '"':
            value, self.at = scanstring(self.text, self.at + 1, True)
            return value
        match = _SCALAR.match(self.text, self.at)
        if match is None:
            raise self._error("expected a value")
        self.at = match.end()
        word = match.group()
        if word in _WORDS:
            return _WORDS[word]
        return int(word) if word.lstrip("-").isdigit() else float(word)

    def _error(self, reason: str) -> JSONDecodeError:
        return JSONDecodeError(reason, self.text, self.at)
