"""What is wrong with a payload, as the code that update_engine reports."""

from __future__ import annotations

from coreos_py.base.errors import CoreosError
from coreos_py.omaha.codes import ErrorCode


class PayloadError(CoreosError):
    """The payload cannot be used."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
