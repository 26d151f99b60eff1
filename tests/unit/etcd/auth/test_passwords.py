"""bcrypt: ours, the C library's, and hashes made by etcd 2.3.8."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from coreos_py.etcd.auth import bcrypt, passwords
from coreos_py.etcd.auth.passwords import Passwords

SALT = "abcdefghijklmnopqrstuu"

# Made by PUT /v2/auth/users/... of etcd 2.3.8.
BY_ETCD = [
    (b"secret", "$2a$10$e84d76K72knawrcsP12ic.kuMNvC9t9WY.GvK7Zz4OQNrgXV4sVjC"),
    ("pässwörd €".encode(), "$2a$10$T9PJhxgXJa1/UMT8aC0Sx.yRgrFt0MFVh5F1D9FupQYoXuSuKrxke"),
    (b"x" * 100, "$2a$10$XkB2k/J5a5g0iRqbvhnIlu6XIh.7tafgIv31yxKQ9bAJpUuR.4hr2"),
]

# Widely published test vectors, among others those of Openwall's crypt_blowfish.
VECTORS = [
    (b"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    (b"U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
    (b"U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
    (b"", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"),
    (b"\xff\xff\xa3", "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e"),
    (b"\xa3", "$2y$05$/OK.fbVrR/bpIqNJ5ianF.Sa7shbm4.OzKpvFnX1pQLmQW96oUlCq"),
]


def libcrypt():
    found = passwords.from_libcrypt()
    if found is None:
        pytest.skip("this C library does not know bcrypt")
    return found


@pytest.mark.parametrize(("password", "text"), VECTORS)
def test_known_answers(password, text):
    known = bcrypt.parse(text)
    assert known is not None
    assert bcrypt.digest(password, cost=known.cost, salt=known.salt) == known.digest


@pytest.mark.parametrize(("password", "text"), [*VECTORS, *BY_ETCD])
def test_the_c_library_knows_them_too(password, text):
    known = bcrypt.parse(text)
    assert libcrypt()(password, known.cost, known.salt) == known.digest


def test_ours_agrees_with_the_c_library(rng):
    theirs = libcrypt()
    for length in (0, 1, 8, 71, 72, 73, 200):
        password = bytes(rng.randrange(1, 256) for _ in range(length))
        salt = bcrypt.encode(rng.randbytes(16))
        assert bcrypt.digest(password, cost=4, salt=salt) == theirs(password, 4, salt)


def test_a_nul_is_in_no_password():
    async def run():
        checker = Passwords(cost=4)
        stored = await checker.hash(b"secret")
        for password in (b"secret\0", b"secret\0x", b"\0secret"):
            assert not await checker.check(stored, password)

    asyncio.run(run())


def test_without_a_usable_library_ours_serves(monkeypatch):
    monkeypatch.setattr(passwords, "_LIBRARIES", ("libnosuch.so.7",))
    assert passwords.from_libcrypt() is None
    assert passwords.choose()(b"x", 4, SALT) == bcrypt.digest(b"x", cost=4, salt=SALT)


PARSED = [
    ("$2a$10$" + "a" * 53, (10, "a" * 22, "a" * 31)),
    ("$2y$04$" + "./" * 26 + ".", (4, "./" * 11, "./" * 15 + ".")),
    ("$2$10$" + "a" * 53, (10, "a" * 22, "a" * 31)),
    ("$2a$03$" + "a" * 53, None),
    ("$2a$32$" + "a" * 53, None),
    ("$2a$10$" + "a" * 52, None),
    ("$2a$10$" + "a" * 54, None),
    ("$2a$10$" + "a" * 52 + "!", None),
    ("$1$10$" + "a" * 53, None),
    ("$2c$10$" + "a" * 53, None),
    ("$2a$1$" + "a" * 53, None),
    ("", None),
    ("secret", None),
    ("$2a$10$" + "a" * 52 + "\udcff", None),
]


@pytest.mark.parametrize(("text", "parts"), PARSED)
def test_parse(text, parts):
    found = bcrypt.parse(text)
    assert found == parts
    if parts is not None and text.startswith("$2a$"):
        assert str(found) == text


def test_base_64(rng):
    assert bcrypt.encode(b"") == bcrypt.decode("").decode() == ""
    assert bcrypt.encode(bytes(16)) == "." * 22
    for length in (1, 2, 3, 16, 23):
        data = rng.randbytes(length)
        assert bcrypt.decode(bcrypt.encode(data)) == data


@pytest.mark.parametrize(("password", "text"), BY_ETCD)
def test_what_etcd_hashed_is_checked(password, text):
    async def run():
        checker = Passwords()
        assert await checker.check(text, password)
        assert not await checker.check(text, password[:-1] if len(password) < 72 else b"y")

    asyncio.run(run())


def test_hashes_have_etcds_shape_and_a_salt_of_their_own():
    async def run():
        hasher = Passwords(cost=4)
        first, second = [await hasher.hash(b"pw") for _ in range(2)]
        assert first != second
        assert first.startswith("$2a$04$")
        assert len(first) == 60
        assert await hasher.check(first, b"pw")
        assert not await hasher.check(first, b"pW")
        default = await Passwords().hash(b"pw")
        assert default.startswith("$2a$10$")

    asyncio.run(run())


@pytest.mark.parametrize("stored", ["", "plain", "$2a$10$short", "$6$rounds=1$salt$hash"])
def test_what_is_no_hash_matches_nothing(stored):
    async def run():
        assert not await Passwords(cost=4).check(stored, b"")
        assert not await Passwords(cost=4).check(stored, stored.encode())

    asyncio.run(run())


def test_the_loop_goes_on_meanwhile():
    async def run():
        hasher = Passwords()
        tasks = [asyncio.create_task(hasher.hash(b"x")) for _ in range(8)]
        turns = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0.001)
            turns += 1
        assert turns > 8
        workers = [t for t in threading.enumerate() if t.name.startswith("auth")]
        assert 1 <= len(workers) <= passwords.WORKERS_MAX
        assert len(workers) <= max((os.cpu_count() or 1) - 1, 1)

    asyncio.run(run())
