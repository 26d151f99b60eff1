"""Differences between two byte strings in the format of bsdiff 4, made and applied. Pure.

    "BSDIFF40" | control length | difference length | new length | control | difference | extra

The last three are bzip2 streams, the lengths signed 64-bit. Any bspatch 4 applies what `diff`
makes. Instead of a suffix array, which would take Python minutes, it looks up what is at every
fourth byte of the old string and extends from there; that finds what is worth finding in programs
and file systems, and the work is linear. Bytes are added and subtracted thousands at a time, as
numbers.
"""

from __future__ import annotations

import bz2

MAGIC = b"BSDIFF40"
_HEAD = 32
_SEED = 8  # bytes that have to agree for a match to be looked at
_EVERY = 4  # where seeds begin in the old string
_WORTH = 24  # a shorter match costs more than it saves
_WINDOW = 64  # bytes compared at once while a match is extended
_FEWEST = 40  # of them that agree while it goes on
_CONTROL = 24


class BadPatch(ValueError):
    """The patch is not one, or not for this string."""


def patch(old: bytes, delta: bytes, *, size_max: int) -> bytes:
    """The new string; BadPatch when there is none, or it is longer than `size_max`."""
    if delta[:8] != MAGIC or len(delta) < _HEAD:
        raise BadPatch("no bsdiff patch")
    control_size, diff_size, new_size = (_number(delta, at) for at in (8, 16, 24))
    if control_size < 0 or diff_size < 0 or not 0 <= new_size <= size_max:
        raise BadPatch("impossible lengths")
    if _HEAD + control_size + diff_size > len(delta):
        raise BadPatch("cut short")
    at = _HEAD + control_size
    control = _expand(delta[_HEAD:at], size_max=_CONTROL * (new_size + 16))
    difference = _expand(delta[at : at + diff_size], size_max=new_size)
    extra = _expand(delta[at + diff_size :], size_max=new_size)
    return _join(old, control, difference, extra, new_size=new_size)


def _join(old: bytes, control: bytes, difference: bytes, extra: bytes, *, new_size: int) -> bytes:
    out: list[bytes] = []
    made = old_at = diff_at = extra_at = 0
    for at in range(0, len(control) - _CONTROL + 1, _CONTROL):
        added, inserted, moved = (_number(control, at + part) for part in (0, 8, 16))
        if added < 0 or inserted < 0 or made + added + inserted > new_size:
            raise BadPatch("more than it announced")
        if diff_at + added > len(difference) or extra_at + inserted > len(extra):
            raise BadPatch("cut short")
        out.append(_add(difference[diff_at : diff_at + added], _slice(old, old_at, added)))
        out.append(extra[extra_at : extra_at + inserted])
        made += added + inserted
        diff_at += added
        extra_at += inserted
        old_at += added + moved
    if made != new_size:
        raise BadPatch("less than it announced")
    return b"".join(out)


def _slice(old: bytes, at: int, size: int) -> bytes:
    """Bytes of the old string; beyond its ends there are zeros."""
    start, end = max(at, 0), min(at + size, len(old))
    if start >= end:
        return bytes(size)
    return bytes(start - at) + old[start:end] + bytes(at + size - end)


def _expand(data: bytes, *, size_max: int) -> bytes:
    if not data:
        return b""
    decompressor = bz2.BZ2Decompressor()
    try:
        out = decompressor.decompress(data, size_max + 1)
    except (OSError, ValueError):
        raise BadPatch("damaged") from None
    if len(out) > size_max:
        raise BadPatch("more than it announced")
    if not decompressor.eof:
        raise BadPatch("cut short")
    return out


def diff(old: bytes, new: bytes) -> bytes:
    """A patch that makes `new` of `old`; the same for the same strings."""
    matches = _matches(old, new)
    control: list[bytes] = []
    difference: list[bytes] = []
    extra: list[bytes] = []
    old_at = new_at = 0
    if matches and matches[0][1] > 0:
        # Nothing to add yet: what precedes the first match is inserted.
        control.append(_triple(0, matches[0][1], matches[0][0]))
        extra.append(new[: matches[0][1]])
        old_at, new_at = matches[0][0], matches[0][1]
    elif matches:
        if matches[0][0]:
            control.append(_triple(0, 0, matches[0][0]))
        old_at = matches[0][0]
    else:
        control.append(_triple(0, len(new), 0))
        extra.append(new)
    for index, (start, at, size) in enumerate(matches):
        assert (start, at) == (old_at, new_at)
        difference.append(_subtract(new[at : at + size], old[start : start + size]))
        following = matches[index + 1] if index + 1 < len(matches) else None
        next_old, next_new = following[:2] if following else (start + size, len(new))
        extra.append(new[at + size : next_new])
        control.append(_triple(size, next_new - at - size, next_old - start - size))
        old_at, new_at = next_old, next_new
    return _container(b"".join(control), b"".join(difference), b"".join(extra), len(new))


def _container(control: bytes, difference: bytes, extra: bytes, new_size: int) -> bytes:
    packed = [bz2.compress(part, 9) for part in (control, difference, extra)]
    sizes = (len(packed[0]), len(packed[1]), new_size)
    return b"".join([MAGIC, *(_signed(size) for size in sizes), *packed])


def _matches(old: bytes, new: bytes) -> list[tuple[int, int, int]]:
    """Pieces of the new string that resemble pieces of the old: (old at, new at, size)."""
    seeds: dict[bytes, int] = {}
    for at in range(len(old) - _SEED, -1, -1):
        if at % _EVERY == 0:
            seeds[old[at : at + _SEED]] = at  # the first of several wins
    found: list[tuple[int, int, int]] = []
    at = covered = 0
    end = len(new) - _SEED
    while at <= end:
        # The same distance as before first: most changes leave the places of things alone.
        distance = found[-1][0] - found[-1][1] if found else 0
        start = at + distance
        if not (start >= 0 and old[start : start + _SEED] == new[at : at + _SEED]):
            candidate = seeds.get(new[at : at + _SEED])
            if candidate is None:
                at += 1
                continue
            start = candidate
        back = _backwards(old, new, start, at, covered)
        size = back + _forwards(old, new, start, at)
        if size < _WORTH and start - at != distance:
            at += 1
            continue
        _append(found, (start - back, at - back, size))
        at = covered = at - back + size
    return found


def _append(found: list[tuple[int, int, int]], piece: tuple[int, int, int]) -> None:
    """Add a piece, as a part of the last one where it just goes on."""
    if found:
        start, at, size = found[-1]
        if (start + size, at + size) == piece[:2]:
            found[-1] = (start, at, size + piece[2])
            return
    found.append(piece)


def _backwards(old: bytes, new: bytes, start: int, at: int, covered: int) -> int:
    """How many equal bytes precede."""
    limit = min(start, at - covered)
    back = 0
    while back < limit and old[start - back - 1] == new[at - back - 1]:
        back += 1
    return back


def _forwards(old: bytes, new: bytes, start: int, at: int) -> int:
    """How far it is similar enough to be worth a difference."""
    limit = min(len(old) - start, len(new) - at)
    size = 0
    while size < limit:
        step = min(1 << 16, limit - size)
        if old[start + size : start + size + step] == new[at + size : at + size + step]:
            size += step
            continue
        # Equal windows in one comparison, doubtful ones byte by byte.
        stop = size + step
        while size < stop:
            width = min(_WINDOW, stop - size)
            left = old[start + size : start + size + width]
            right = new[at + size : at + size + width]
            if left != right:
                same = sum(map(_same, left, right))
                if same * _WINDOW < _FEWEST * width:
                    return size + _common(left, right)
            size += width
    return size


def _same(left: int, right: int) -> bool:
    return left == right


def _common(left: bytes, right: bytes) -> int:
    size = 0
    while size < len(left) and left[size] == right[size]:
        size += 1
    return size


def _add(left: bytes, right: bytes) -> bytes:
    """Byte by byte, modulo 256."""
    size = len(left)
    low, high = _masks(size)
    a, b = int.from_bytes(left, "little"), int.from_bytes(right, "little")
    even = ((a & low) + (b & low)) & low
    odd = ((a & high) + (b & high)) & high
    return (even | odd).to_bytes(size, "little")


def _subtract(left: bytes, right: bytes) -> bytes:
    """Byte by byte, modulo 256."""
    size = len(left)
    low, high = _masks(size)
    a, b = int.from_bytes(left, "little"), int.from_bytes(right, "little")
    # A bit above each byte is lent, so that nothing is borrowed from the neighbour.
    ones = int.from_bytes(b"\x00\x01" * (size // 2 + 1), "little")
    even = ((a & low | ones) - (b & low)) & low
    odd = (((a & high) >> 8 | ones) - ((b & high) >> 8)) & low
    return (even | odd << 8 & high).to_bytes(size, "little")


def _masks(size: int) -> tuple[int, int]:
    low = int.from_bytes((b"\xff\x00" * (size // 2 + 1))[:size], "little")
    high = int.from_bytes((b"\x00\xff" * (size // 2 + 1))[:size], "little")
    return low, high


def _triple(added: int, inserted: int, moved: int) -> bytes:
    return _signed(added) + _signed(inserted) + _signed(moved)


def _signed(value: int) -> bytes:
    """bsdiff's numbers: the magnitude, and the sign in the highest bit."""
    return (abs(value) | (1 << 63 if value < 0 else 0)).to_bytes(8, "little")


def _number(data: bytes, at: int) -> int:
    value = int.from_bytes(data[at : at + 8], "little")
    return -(value & ~(1 << 63)) if value >> 63 else value
