"""Say what goes on while it goes on: on a terminal one line that changes, otherwise nothing.

Output of a command never goes through here; this is for the person who waits.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TextIO

_CLEAR = "\r\x1b[K"


class Progress:
    """`with Progress() as progress: progress("step 1 of 3")`; the line is gone at the end."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream is not None and self._stream.isatty()

    def __call__(self, text: str) -> None:
        if self._live:
            self._stream.write(_CLEAR + text)
            self._stream.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._stream.write(_CLEAR)
            self._stream.flush()
