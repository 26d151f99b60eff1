"""bsdiff: what is made can be applied, by Debian's bspatch too, and nonsense is refused."""

from __future__ import annotations

import bz2
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreos_py.update.payload import bsdiff
from coreos_py.update.payload.bsdiff import BadPatch


def _edit(rng, old, *, changes, inserts):
    new = bytearray(old)
    for _ in range(changes):
        new[rng.randrange(len(new))] = rng.randrange(256)
    for _ in range(inserts):
        at = rng.randrange(len(new) + 1)
        if rng.random() < 0.5:
            new[at:at] = rng.randbytes(rng.randrange(100))
        else:
            del new[at : at + rng.randrange(100)]
    return bytes(new)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100, 5000, 70_000])
@pytest.mark.parametrize("kind", ["random", "text", "zeros"])
def test_round_trip(rng, size, kind):
    text = b"the quick brown fox %d " * 4000
    old = {"random": rng.randbytes(size), "text": text[:size], "zeros": bytes(size)}[kind]
    for changes, inserts in ((0, 0), (5, 0), (0, 3), (50, 10)):
        new = _edit(rng, old, changes=changes, inserts=inserts) if old else rng.randbytes(changes)
        delta = bsdiff.diff(old, new)
        assert bsdiff.patch(old, delta, size_max=len(new)) == new
        assert bsdiff.diff(old, new) == delta


@settings(deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=400))
def test_any_two_strings(old, new):
    assert bsdiff.patch(old, bsdiff.diff(old, new), size_max=len(new)) == new


def test_a_shifted_program_is_small(rng):
    """Pointers that all grew by the same amount are what bsdiff was made for."""
    old = b"".join(rng.randbytes(12) + (i * 8).to_bytes(4, "little") for i in range(4000))
    new = b"".join(
        old[i * 16 : i * 16 + 12] + (i * 8 + 64).to_bytes(4, "little") for i in range(4000)
    )
    assert len(bsdiff.diff(old, new)) < len(new) // 10


@pytest.mark.skipif(shutil.which("bspatch") is None, reason="bsdiff is not installed")
def test_debians_programs_agree(tmp_path, rng):
    old = rng.randbytes(30_000) + b"text " * 5000
    new = _edit(rng, old, changes=100, inserts=20)
    paths = [tmp_path / name for name in ("old", "new", "patch")]
    for path, data in zip(paths, (old, new, bsdiff.diff(old, new)), strict=True):
        path.write_bytes(data)
    subprocess.run(["bspatch", paths[0], tmp_path / "made", paths[2]], check=True)
    assert (tmp_path / "made").read_bytes() == new
    subprocess.run(["bsdiff", *paths], check=True)
    assert bsdiff.patch(old, paths[2].read_bytes(), size_max=len(new)) == new


OLD = bytes(range(256)) * 8
NEW = OLD[:500] + b"something else" + OLD[600:]
GOOD = bsdiff.diff(OLD, NEW)


def _made(control, difference=b"", extra=b"", *, size):
    return bsdiff._container(control, difference, extra, size)


@pytest.mark.parametrize(
    ("delta", "problem"),
    [
        (b"", "no bsdiff patch"),
        (b"BSDIFF41" + GOOD[8:], "no bsdiff patch"),
        (GOOD[:31], "no bsdiff patch"),
        (GOOD[:8] + b"\xff" * 8 + GOOD[16:], "impossible"),
        (GOOD[:8] + b"\xff" * 7 + b"\x7f" + GOOD[16:], "cut short"),
        (GOOD[:24] + b"\xff" * 7 + b"\x7f" + GOOD[32:], "impossible"),
        (GOOD[:32] + b"x" + GOOD[33:], "damaged"),
        (GOOD[:-1], "cut short"),
        (_made(bsdiff._triple(5, 0, 0), b"abc", size=5), "cut short"),
        (_made(bsdiff._triple(0, 5, 0), b"", b"abc", size=5), "cut short"),
        (_made(bsdiff._triple(-1, 5, 0), b"", b"abcde", size=5), "more than"),
        (_made(bsdiff._triple(0, 5, 0), b"", b"abcde", size=4), "more than"),
        (_made(bsdiff._triple(0, 5, 0), b"", b"abcde", size=6), "less than"),
        (_made(b"", b"", bytes(1 << 20), size=9), "more than"),
        (_made(bytes(1 << 20), b"", b"", size=9), "more than"),
    ],
)
def test_nonsense_is_refused(delta, problem):
    with pytest.raises(BadPatch, match=problem):
        bsdiff.patch(OLD, delta, size_max=4096)


def test_reading_beside_the_old_string_gives_zeros():
    control = bsdiff._triple(0, 0, -2) + bsdiff._triple(6, 0, 0)
    assert bsdiff.patch(b"\1\1", _made(control, b"abcdef", size=6), size_max=6) == b"abdeef"


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_bytes_never_crash_it(data):
    damaged = GOOD[:8] + data + GOOD[8 + len(data) :]
    for delta in (data, damaged, bz2.compress(data)):
        try:
            out = bsdiff.patch(OLD, delta, size_max=4096)
        except BadPatch:
            continue
        assert len(out) <= 4096
