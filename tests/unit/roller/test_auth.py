"""Passwords, tokens, sessions, other sites' pages, and the brakes on guessing."""

from __future__ import annotations

from base64 import b64encode

import pytest

from coreos_py.roller import auth

SALT = bytes(range(auth.SALT_BYTES))
STORED = auth.hash_password("correct horse", SALT)
SECOND_US = 1_000_000


def test_a_hash_tells_its_own_numbers_and_not_the_password():
    assert STORED.startswith("scrypt$16384$8$1$AAECAwQFBgcICQoLDA0ODw==$")
    assert "horse" not in STORED
    assert auth.hash_password("correct horse", SALT) == STORED
    assert auth.hash_password("correct horse", SALT[::-1]) != STORED


@pytest.mark.parametrize(
    ("password", "stored", "is_right"),
    [
        ("correct horse", STORED, True),
        ("correct hors", STORED, False),
        ("", STORED, False),
        ("correct horse", None, False),
        ("", None, False),
        ("correct horse", "", False),
        ("correct horse", "md5$x", False),
        ("correct horse", STORED.replace("scrypt", "other"), False),
        ("correct horse", STORED.replace("$16384$", "$16385$"), False),
        ("correct horse", STORED.replace("$16384$", "$1073741824$"), False),
        ("correct horse", STORED[:-4], False),
        ("\ud800", STORED, False),
    ],
)
def test_a_password_is_right_or_not(password, stored, is_right):
    assert auth.check_password(password, stored) is is_right


def test_a_password_once_right_is_known_until_it_changes():
    verified = auth.Verified(b"key")
    assert verified.check("correct horse", STORED)
    assert verified.check("correct horse", STORED)
    assert not verified.check("correct horse", STORED.replace("scrypt$", "scrypt$1"))
    assert not verified.check("wrong", STORED)
    assert not verified.check("correct horse", None)


@pytest.mark.parametrize(
    ("password", "trouble"), [("x" * 7, True), ("x" * 8, False), ("ü" * 1024, False), ("", True)]
)
def test_passwords_have_a_length(password, trouble):
    assert bool(auth.password_trouble(password)) is trouble


def test_tokens_can_be_told_from_passwords_and_are_kept_as_digests():
    token = auth.new_token(bytes(32))
    assert token == "rlr_" + "A" * 43
    assert auth.digest(token) != auth.digest(auth.new_secret(bytes(32)))
    assert token not in auth.digest(token)


def test_cookies_are_out_of_reach_of_scripts_and_other_sites():
    line = auth.set_cookie("abc", tls=True)
    assert line == ("rollerd_session=abc; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure")
    assert not auth.set_cookie("abc", tls=False).endswith("Secure")
    assert "Max-Age=0" in auth.clear_cookie(tls=False)


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "cookies", "expected"),
    [
        ("", "", auth.Claim(auth.NOBODY)),
        ("", "a=b; rollerd_session=s3; c", auth.Claim(auth.SESSION, secret="s3")),
        ("", "rollerd_session=", auth.Claim(auth.NOBODY)),
        ("", "xrollerd_session=s", auth.Claim(auth.NOBODY)),
        (basic("u:p:q"), "rollerd_session=s", auth.Claim(auth.PASSWORD, "u", "p:q")),
        (basic("u:rlr_x"), "", auth.Claim(auth.TOKEN, secret="rlr_x")),
        (basic("nocolon"), "", auth.Claim(auth.PASSWORD)),
        ("basic   " + basic("u:p")[6:], "", auth.Claim(auth.PASSWORD, "u", "p")),
        ("Basic ???", "", auth.Claim(auth.PASSWORD)),
        ("Basic /w==", "", auth.Claim(auth.PASSWORD)),
        ("Bearer rlr_t", "", auth.Claim(auth.TOKEN, secret="rlr_t")),
        ("BEARER x", "", auth.Claim(auth.TOKEN, secret="x")),
        ('Hawk id="x"', "rollerd_session=s", auth.Claim(auth.PASSWORD)),
    ],
)
def test_who_a_request_claims_to_be(authorization, cookies, expected):
    assert auth.claim(authorization, cookies) == expected


@pytest.mark.parametrize(
    ("fetch_site", "origin", "by_cookie", "is_foreign"),
    [
        ("same-origin", "http://h:1", True, False),
        ("none", "", True, False),
        ("same-site", "http://h:1", True, True),
        ("cross-site", "", False, True),
        ("", "http://h:1", True, False),
        ("", "https://H:1", True, False),
        ("", "https://public", True, False),
        ("", "http://h:2", True, True),
        ("", "http://h", True, True),
        ("", "null", True, True),
        ("", "http://h:1.evil.example", True, True),
        ("", "http://evil.example", False, True),
        ("", "", True, True),
        ("", "", False, False),
    ],
)
def test_pages_of_other_sites_write_nothing(fetch_site, origin, by_cookie, is_foreign):
    assert auth.is_foreign(fetch_site, origin, ["h:1", "public"], by_cookie=by_cookie) is is_foreign


def test_a_guesser_waits_and_others_do_not():
    attempts = auth.Attempts(per_peer=3, overall=100)
    for second in range(3):
        assert attempts.wait_s("1.2.3.4", second * SECOND_US) == 0
        attempts.failed("1.2.3.4", second * SECOND_US)
    assert attempts.wait_s("1.2.3.4", 3 * SECOND_US) == 57
    assert attempts.wait_s("1.2.3.5", 3 * SECOND_US) == 0
    assert attempts.wait_s("1.2.3.4", 60 * SECOND_US) == 0
    attempts.failed("1.2.3.4", 60 * SECOND_US)
    assert attempts.wait_s("1.2.3.4", 60 * SECOND_US) == 0


def test_many_guessers_wait_together():
    attempts = auth.Attempts(per_peer=3, overall=5)
    for number in range(5):
        attempts.failed(f"10.0.0.{number}", 0)
    assert attempts.wait_s("10.9.9.9", 1) == 60


def test_a_clock_set_back_locks_nobody_out():
    attempts = auth.Attempts(per_peer=1, overall=1)
    attempts.failed("1.2.3.4", 10**15)
    assert attempts.wait_s("1.2.3.4", 0) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::1", "::2", True),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.5", False),
        ("fe80::1", "fe80::2:3", True),
    ],
)
def test_a_network_of_ipv6_counts_as_one_client(one, other, same):
    attempts = auth.Attempts(per_peer=1)
    attempts.failed(one, 0)
    assert bool(attempts.wait_s(other, 1)) is same


def test_the_list_of_guessers_does_not_grow_for_ever():
    attempts = auth.Attempts(per_peer=2, overall=10**9)
    for number in range(5000):
        attempts.failed(f"peer{number}", 0)
    assert len(attempts._peers) <= 4096
