"""json.loads for command-line tools: the C scanner alone, without the modules around it.

Importing json compiles its regular expressions and brings re and enum: 3 ms, a sixth of a
command's life. What the scanner does not like goes to json.loads, for its error. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SPACE = " \t\n\r"


class _Rules:
    """What json.JSONDecoder() tells its scanner."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> float:
        """NaN and the infinities, which JSON does not have and Python takes."""
        return float(name)


def _choose() -> Callable[[str, int], tuple[Any, int]] | None:
    try:
        from _json import make_scanner
    except ImportError:
        return None  # an interpreter without the C part
    scan: Any = make_scanner(_Rules())  # type: ignore[arg-type]  # it wants the attributes only
    return scan  # type: ignore[no-any-return]


_scan = _choose()


def loads(data: bytes) -> Any:
    """The document in `data`; ValueError if it is none."""
    if _scan is not None:
        try:
            text = data.decode()
            value, end = _scan(text, len(text) - len(text.lstrip(_SPACE)))
            if not text[end:].strip(_SPACE):
                return value
        except (StopIteration, ValueError, SystemError):
            # SystemError: the scanner looks for its exception in json.decoder.
            pass
    import json

    return json.loads(data)
