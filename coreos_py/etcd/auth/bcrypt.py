"""bcrypt without a C library: the last resort, some seconds of work at etcd's cost.

Pure. Blowfish's tables are the digits of pi, which are computed when they are first needed. Mirrors
golang.org/x/crypto/bcrypt and blowfish.
"""

from __future__ import annotations

import re
from struct import Struct
from typing import NamedTuple

COST_MIN, COST_MAX = 4, 31
SALT_BYTES = 16
PASSWORD_BYTES_MAX = 72
"""What follows has no influence."""

_ALPHABET = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TEXT = re.compile(r"\$2[abxy]?\$(\d\d)\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})")
_VALUES = {code: value for value, code in enumerate(_ALPHABET)}
_MASK = 0xFFFFFFFF
_KEY = Struct(">18I")
_SALT = Struct(">4I")
_MAGIC = Struct(">6I").unpack(b"OrpheanBeholderScryDoubt")
_BOXES = 4
_BOX = 256

Table = list[int]


class Hash(NamedTuple):
    """The parts of `$2a$10$` + salt + digest, in bcrypt's base 64."""

    cost: int
    salt: str
    digest: str

    def __str__(self) -> str:
        return f"$2a${self.cost:02d}${self.salt}{self.digest}"


def parse(text: str) -> Hash | None:
    """A stored hash in its parts, None if it is not one."""
    found = _TEXT.fullmatch(text)
    if found is None or not COST_MIN <= int(found[1]) <= COST_MAX:
        return None
    return Hash(int(found[1]), found[2], found[3])


def encode(data: bytes) -> str:
    """bcrypt's base 64, without padding."""
    bits = int.from_bytes(data, "big")
    count = -(-len(data) * 8 // 6)
    bits <<= count * 6 - len(data) * 8
    return bytes(_ALPHABET[bits >> 6 * i & 63] for i in reversed(range(count))).decode()


def decode(text: str) -> bytes:
    """The reverse of encode; surplus bits are dropped."""
    bits = 0
    for code in text.encode():
        bits = bits << 6 | _VALUES[code]
    surplus = len(text) * 6 % 8
    return (bits >> surplus).to_bytes(len(text) * 6 // 8, "big")


def digest(password: bytes, *, cost: int, salt: str) -> str:
    """The digest of a password: slow on purpose."""
    plain = password[:PASSWORD_BYTES_MAX] + b"\0"
    key = _KEY.unpack((plain * (_KEY.size // len(plain) + 1))[: _KEY.size])
    salt_words = _SALT.unpack(decode(salt))
    p, boxes = _tables()
    _expand(p, boxes, key, salt_words)
    salt_key = (salt_words * 5)[:18]
    for _ in range(1 << cost):
        _expand(p, boxes, key, None)
        _expand(p, boxes, salt_key, None)
    words = []
    for i in range(0, len(_MAGIC), 2):
        left, right = _MAGIC[i], _MAGIC[i + 1]
        for _ in range(64):
            left, right = _encipher(left, right, p, boxes)
        words += [left, right]
    return encode(Struct(">6I").pack(*words)[:-1])


def _expand(p: Table, boxes: Table, key: tuple[int, ...], salt: tuple[int, ...] | None) -> None:
    """Blowfish's key schedule, with the salt mixed in the first time."""
    for i, word in enumerate(key):
        p[i] ^= word
    left = right = 0
    at = 0
    for table in (p, boxes):
        for i in range(0, len(table), 2):
            if salt is not None:
                left ^= salt[at]
                right ^= salt[at + 1]
                at ^= 2
            left, right = _encipher(left, right, p, boxes)
            table[i] = left
            table[i + 1] = right


def _encipher(left: int, right: int, p: Table, boxes: Table) -> tuple[int, int]:
    left ^= p[0]
    for i in range(1, 17, 2):
        mixed = boxes[left >> 24] + boxes[256 + (left >> 16 & 255)]
        mixed = (mixed ^ boxes[512 + (left >> 8 & 255)]) + boxes[768 + (left & 255)]
        right ^= p[i] ^ mixed & _MASK
        mixed = boxes[right >> 24] + boxes[256 + (right >> 16 & 255)]
        mixed = (mixed ^ boxes[512 + (right >> 8 & 255)]) + boxes[768 + (right & 255)]
        left ^= p[i + 1] ^ mixed & _MASK
    return right ^ p[17], left


def _tables() -> tuple[Table, Table]:
    """Fresh copies of Blowfish's tables: 18 words and 4 times 256 words."""
    if not _pi:
        _pi.extend(_pi_words(18 + _BOXES * _BOX))
    return _pi[:18], _pi[18:]


_pi: Table = []


def _pi_words(count: int) -> Table:
    """The first words of the fraction of pi, by Machin's formula."""
    guard = 64
    one = 1 << 32 * count + guard
    pi = 16 * _arctan_inverse(5, one) - 4 * _arctan_inverse(239, one)
    fraction = (pi - 3 * one) >> guard
    return [fraction >> 32 * i & _MASK for i in reversed(range(count))]


def _arctan_inverse(x: int, one: int) -> int:
    power = total = one // x
    divisor, square = 1, x * x
    while power:
        power //= -square
        divisor += 2
        total += power // divisor
    return total
