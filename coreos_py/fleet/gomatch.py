"""Go's path.Match: the glob that Conflicts= and Replaces= are written in.

`*` is any run of characters but "/", `?` one character but "/", `[a-z]` and `[^a]` are classes
(which may hold "/"), `\\x` is x itself; there is no `!` and there are no braces. A bad pattern
matches nothing, as in fleet 1.0.0. Pure.
"""

from __future__ import annotations

from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_WILD = frozenset("*?[\\")


class BadPattern(ValueError):
    """The pattern is malformed."""


def matches(pattern: str, name: str) -> bool:
    """Tell whether the whole name matches; False when the pattern is malformed."""
    return _matcher(pattern)(name)


def is_pattern(pattern: str) -> bool:
    """Tell whether the pattern is well formed."""
    try:
        to_regex(pattern)
    except BadPattern:
        return False
    return True


def literal_prefix(pattern: str) -> str:
    """Return what every match must start with: the text before the first special character."""
    for at, char in enumerate(pattern):
        if char in _WILD:
            return pattern[:at]
    return pattern


def literal_suffix(pattern: str) -> str:
    """Return what every match must end in: the text behind the last special character."""
    if "\\" in pattern or "[" in pattern:
        return ""  # what is special there cannot be told from the end
    return pattern[max(pattern.rfind("*"), pattern.rfind("?")) + 1 :]


def is_literal(pattern: str) -> bool:
    """Tell whether the pattern has no special characters and so names exactly one unit."""
    return _WILD.isdisjoint(pattern)


def to_regex(pattern: str) -> str:
    """Translate to a regular expression, or raise BadPattern."""
    import re  # not before it is needed: fleetctl's every start would pay 2 ms for it

    out = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            text, at = _class(pattern, at)
            out.append(text)
        elif char == "\\":
            if at == len(pattern):
                raise BadPattern(pattern)
            out.append(re.escape(pattern[at]))
            at += 1
        else:
            out.append(re.escape(char))
    return "".join(out)


@lru_cache(maxsize=65536)
def _matcher(pattern: str) -> Callable[[str], bool]:
    if is_literal(pattern):
        return pattern.__eq__
    try:
        import re

        compiled = re.compile(to_regex(pattern), re.DOTALL)
    except BadPattern:
        return _never
    return lambda name: compiled.fullmatch(name) is not None


def _never(name: str) -> bool:
    return False


def _class(pattern: str, at: int) -> tuple[str, int]:
    """Translate one bracket expression whose text starts at `at`."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[tuple[str, str]] = []
    while not (ranges and pattern.startswith("]", at)):
        low, at = _class_char(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_char(pattern, at + 1)
        ranges.append((low, high))
    # An empty range such as [b-a] is legal and holds nothing.
    import re

    text = "".join(f"{re.escape(lo)}-{re.escape(hi)}" for lo, hi in ranges if lo <= hi)
    if not text:
        return ("." if negated else "(?!)"), at + 1
    return f"[{'^' if negated else ''}{text}]", at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    if at >= len(pattern) or pattern[at] in "-]":
        raise BadPattern(pattern)
    if pattern[at] == "\\":
        at += 1
        if at >= len(pattern):
            raise BadPattern(pattern)
    if at + 1 >= len(pattern):
        raise BadPattern(pattern)  # nothing left to close the class
    return pattern[at], at + 1
