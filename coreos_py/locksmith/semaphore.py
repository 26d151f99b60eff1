"""The reboot lock: a counting semaphore that lists its holders, as a value and as its JSON.

Pure: a semaphore and a holder make a new semaphore or an error. Byte-compatible with locksmith
0.6.2's lock/semaphore.go, whose texts the errors are.
"""

from __future__ import annotations

import json

from coreos_py.base import gojson
from coreos_py.base.errors import CoreosError
from coreos_py.http.url import escape_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

PREFIX = "/coreos.com/updateengine/rebootlock"
_FIELDS = ("semaphore", "max", "holders")
_INT_BITS = 64
_INT_DIGITS_MAX = 20  # of a 64-bit number with its sign


class SemaphoreError(CoreosError):
    """The semaphore does not allow what was asked."""


class HolderExists(SemaphoreError):
    """This holder has the lock already."""

    def __init__(self) -> None:
        super().__init__("holder exists")


class HolderMissing(SemaphoreError):
    """This holder does not have the lock."""

    def __init__(self) -> None:
        super().__init__("holder does not exist")


class BadSemaphore(CoreosError):
    """The value in etcd is not a semaphore; the message is Go's."""


class Semaphore:
    """`available` = `limit` - holders. `holders` is None until somebody held it, then sorted."""

    __slots__ = ("available", "holders", "limit")

    def __init__(self, available: int, limit: int, holders: tuple[str, ...] | None) -> None:
        self.available = available
        self.limit = limit
        self.holders = holders

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semaphore) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __repr__(self) -> str:
        return f"Semaphore({self.available}, {self.limit}, {self.holders!r})"

    def lock(self, holder: str) -> Semaphore:
        """With one more holder; the count is looked at before the name."""
        held = self.holders or ()
        if self.available <= 0:
            raise SemaphoreError(f"semaphore is at {self.available}")
        if holder in held:
            raise HolderExists
        name = _bytes(holder)
        # A list that was written by hand may be out of order; it stays so, as locksmith leaves it.
        at = next((at for at, other in enumerate(held) if _bytes(other) > name), len(held))
        return Semaphore(_int64(self.available - 1), self.limit, (*held[:at], holder, *held[at:]))

    def unlock(self, holder: str) -> Semaphore:
        """With one holder less."""
        held = self.holders or ()
        if holder not in held:
            raise HolderMissing
        at = held.index(holder)
        return Semaphore(_int64(self.available + 1), self.limit, held[:at] + held[at + 1 :])

    def with_limit(self, limit: int) -> Semaphore:
        """For `limit` holders; the ones there are stay, so that `available` may become negative."""
        return Semaphore(_int64(self.available + limit - self.limit), limit, self.holders)

    def to_json(self) -> str:
        """The value to store."""
        holders = "null" if self.holders is None else gojson.dumps(self.holders)
        return f'{{"semaphore":{self.available},"max":{self.limit},"holders":{holders}}}'


INITIAL = Semaphore(1, 1, None)


def parse(text: str) -> Semaphore:
    """The semaphore a value stands for; BadSemaphore.

    Read as Go reads a struct: names in any case, the last of several, nulls and others ignored.
    """
    try:
        data = json.loads(
            text,
            object_pairs_hook=_Object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as err:
        raise BadSemaphore(gojson.syntax_error(err)) from None
    except RecursionError:
        raise BadSemaphore("exceeded max depth") from None
    if data is None:
        return Semaphore(0, 0, None)
    if not isinstance(data, _Object):
        what = _type_name(data)
        raise BadSemaphore(f"json: cannot unmarshal {what} into Go value of type lock.Semaphore")
    counts = {"semaphore": 0, "max": 0}
    holders: tuple[str, ...] | None = None
    for key, value in data:
        name = key if key in _FIELDS else key.lower()
        if name == "holders":
            holders = _holders(value)
        elif name in counts and value is not None:
            counts[name] = _count(name, value)
    return Semaphore(counts["semaphore"], counts["max"], holders)


def key_of(group: str) -> str:
    """The key of a group's semaphore, "" for the machines without a group."""
    if not group:
        return f"{PREFIX}/semaphore"
    return f"{PREFIX}/groups/{escape_query(group)}/semaphore"


def parse_limit(text: str) -> int:
    """A new maximum as Go's Atoi reads it; ValueError."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()) or len(digits.lstrip("0")) >= _INT_DIGITS_MAX:
        raise ValueError(text)
    number = int(digits.lstrip("0") or "0") * (-1 if text[0] == "-" else 1)
    if number != _int64(number):
        raise ValueError(text)
    return number


class _Object(list[tuple[str, object]]):
    """A JSON object as its pairs, in order."""


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _holders(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, _Object) or not isinstance(value, list):
        raise _mismatch(value, "holders", "[]string")
    for item in value:
        if item is not None and (isinstance(item, _Number) or not isinstance(item, str)):
            raise _mismatch(item, "holders", "string")
    return tuple(["" if item is None else _text(item) for item in value])


def _text(item: str) -> str:
    """Half a surrogate pair is no character."""
    return "".join(["\ufffd" if "\ud800" <= char <= "\udfff" else char for char in item])


def _count(name: str, value: Any) -> int:
    if isinstance(value, _Number) and len(value) <= _INT_DIGITS_MAX:
        digits = value.removeprefix("-")
        if digits.isdigit() and (number := int(value)) == _int64(number):
            return number
    raise _mismatch(value, name, "int")


def _mismatch(value: object, name: str, wanted: str) -> BadSemaphore:
    what = _type_name(value)
    if isinstance(value, _Number) and wanted == "int":
        what = f"number {value}"
    return BadSemaphore(
        f"json: cannot unmarshal {what} into Go struct field Semaphore.{name} of type {wanted}"
    )


def _type_name(value: object) -> str:
    if isinstance(value, _Number):
        return "number"
    if isinstance(value, _Object):
        return "object"
    if isinstance(value, list):
        return "array"
    return "bool" if isinstance(value, bool) else "string"


def _no_constant(word: str) -> NoReturn:
    where = "in numeric literal" if word[0] == "-" else "looking for beginning of value"
    raise BadSemaphore(f"invalid character '{word.lstrip('-')[0]}' {where}")


def _int64(number: int) -> int:
    """The number as a 64-bit integer keeps it."""
    half = 1 << (_INT_BITS - 1)
    return (number + half) % (2 * half) - half


def _bytes(text: str) -> bytes:
    """What holders are sorted by."""
    return text.encode("utf-8", "surrogatepass")
