"""Who asks, and may they: passwords, tokens, sessions, roles, and the brakes on guessing.

Pure: randomness and the clock are arguments. Passwords are kept as scrypt hashes. Tokens and
sessions are 256 random bits, so that their SHA-256 is all that needs keeping; neither can be had
from the database again. Mirrors nothing: CoreRoller kept md5("user:coreroller.org:password").
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode, urlsafe_b64encode
from hashlib import scrypt, sha256
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

ADMIN = "admin"
VIEWER = "viewer"
ROLES = (ADMIN, VIEWER)

COOKIE = "rollerd_session"
SESSION_S = 12 * 3600
TOKEN_PREFIX = "rlr_"
PASSWORD_MIN = 8
PASSWORD_MAX = 1024
SALT_BYTES = 16
SECRET_BYTES = 32

# 16 MiB and 50 ms a guess; the numbers stand in every hash, so that they may grow.
_COST, _BLOCK, _LANES = 1 << 14, 8, 1
_COST_MAX = 1 << 20
_ABSENT = "scrypt$16384$8$1$AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "="

NOBODY = ""
PASSWORD = "password"
TOKEN = "token"
SESSION = "session"


class Principal(NamedTuple):
    """A client who has shown who they are; `how` is PASSWORD, TOKEN or SESSION."""

    name: str
    role: str
    how: str = PASSWORD


class Claim(NamedTuple):
    """What a request says about its sender, not yet believed."""

    how: str
    name: str = ""
    secret: str = ""


# -- passwords ------


def hash_password(password: str, salt: bytes) -> str:
    """What is stored instead of the password."""
    key = _derive(password, salt, _COST, _BLOCK, _LANES)
    return f"scrypt${_COST}${_BLOCK}${_LANES}${_text(salt)}${_text(key)}"


def check_password(password: str, stored: str | None) -> bool:
    """Whether the stored hash is this password's; None (no such user) takes as long to refuse."""
    try:
        method, *numbers, salt, key = (stored or _ABSENT).split("$")
        cost, block, lanes = (int(number) for number in numbers)
        expected = b64decode(key, validate=True)
        found = _derive(password, b64decode(salt, validate=True), cost, block, lanes)
    except (ValueError, binascii.Error):
        return False
    return method == "scrypt" and hmac.compare_digest(found, expected) and stored is not None


def _derive(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    if not 1 < cost <= _COST_MAX:
        raise ValueError(f"scrypt cost {cost}")
    secret = password.encode("utf-8", "surrogatepass")[: 4 * PASSWORD_MAX]
    memory = 256 * cost * block * lanes
    return scrypt(secret, salt=salt, n=cost, r=block, p=lanes, maxmem=memory, dklen=32)


def password_trouble(password: str, *, any_length: bool = False) -> str:
    """Why this password is not taken; empty if it is. CoreRoller took any length."""
    least = 1 if any_length else PASSWORD_MIN
    if not least <= len(password) <= PASSWORD_MAX:
        return f"a password has {least} to {PASSWORD_MAX} characters"
    return ""


class Verified:
    """Passwords that were right a moment ago: clients with Basic send theirs every time.

    Holds neither passwords nor hashes, only a keyed digest of both; a changed hash is a new guess.
    """

    _MOST = 256

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[bytes, None] = {}

    def check(self, password: str, stored: str | None) -> bool:
        """check_password(), at the price of a digest the second time."""
        text = f"{stored}\0{password}".encode("utf-8", "surrogatepass")
        digest = hmac.digest(self._key, text, "sha256")
        if digest in self._known:
            return True
        if not check_password(password, stored):
            return False
        if len(self._known) >= self._MOST:
            del self._known[next(iter(self._known))]
        self._known[digest] = None
        return True


# -- tokens, sessions ------


def new_token(random: bytes) -> str:
    """A token for programs."""
    return TOKEN_PREFIX + new_secret(random)


def new_secret(random: bytes) -> str:
    """A session's cookie."""
    assert len(random) >= SECRET_BYTES
    return urlsafe_b64encode(random).rstrip(b"=").decode()


def digest(secret: str) -> str:
    """What is stored of a token or a session."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def set_cookie(secret: str, *, tls: bool) -> str:
    """The header that gives a browser its session."""
    return _cookie(secret, SESSION_S, tls=tls)


def clear_cookie(*, tls: bool) -> str:
    """The header that takes it away again."""
    return _cookie("", 0, tls=tls)


def _cookie(value: str, age_s: int, *, tls: bool) -> str:
    line = f"{COOKIE}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite=Strict"
    return f"{line}; Secure" if tls else line


# -- requests ------


def claim(authorization: str, cookies: str) -> Claim:
    """Who the headers `Authorization` and `Cookie` name; the first one decides if it is there."""
    if authorization:
        scheme, _, rest = authorization.strip().partition(" ")
        if scheme.lower() == "bearer":
            return Claim(TOKEN, secret=rest.strip())
        if scheme.lower() == "basic":
            return _basic(rest.strip())
        return Claim(PASSWORD)
    for item in cookies.split(";"):
        name, _, value = item.strip().partition("=")
        if name == COOKIE and value:
            return Claim(SESSION, secret=value)
    return Claim(NOBODY)


def _basic(text: str) -> Claim:
    """A user with a password, or anybody with a token as password."""
    try:
        name, colon, secret = b64decode(text, validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        return Claim(PASSWORD)
    if not colon:
        return Claim(PASSWORD)
    if secret.startswith(TOKEN_PREFIX):
        return Claim(TOKEN, secret=secret)
    return Claim(PASSWORD, name, secret)


def is_foreign(fetch_site: str, origin: str, hosts: Collection[str], *, by_cookie: bool) -> bool:
    """Whether another site's page may have made the browser send this write.

    `hosts` are the names of this server, with ports, in small letters. Programs send neither
    header and are nobody's victims; with a session's cookie one is due.
    """
    if fetch_site:
        return fetch_site not in ("same-origin", "none")
    if origin:
        return origin.partition("://")[2].lower() not in hosts
    return by_cookie


# -- brakes ------


class Attempts:
    """Counts wrong passwords, per client address and in all, within a minute.

    A right one is never counted, so it takes a guesser, not a busy day, to be made to wait. IPv6
    clients count by their /64.
    """

    _WINDOW_US = 60_000_000
    _PEERS_MAX = 4096

    def __init__(self, *, per_peer: int = 10, overall: int = 100) -> None:
        self._per_peer = per_peer
        self._overall = overall
        self._peers: dict[str, tuple[int, int]] = {}
        self._all = (0, 0)

    def wait_s(self, peer: str, now_us: int) -> int:
        """Seconds until this client may try again; 0: now."""
        start, count = self._peers.get(_network(peer), (0, 0))
        waits = [
            self._left_s(start, now_us) if count >= self._per_peer else 0,
            self._left_s(self._all[0], now_us) if self._all[1] >= self._overall else 0,
        ]
        return max(waits)

    def failed(self, peer: str, now_us: int) -> None:
        """This client was wrong."""
        self._all = self._count(self._all, now_us)
        network = _network(peer)
        seen = self._count(self._peers.pop(network, (0, 0)), now_us)
        if len(self._peers) >= self._PEERS_MAX:
            del self._peers[next(iter(self._peers))]
        self._peers[network] = seen

    def _count(self, seen: tuple[int, int], now_us: int) -> tuple[int, int]:
        start, count = seen
        return (start, count + 1) if self._left_s(start, now_us) else (now_us, 1)

    def _left_s(self, start_us: int, now_us: int) -> int:
        left_us = start_us + self._WINDOW_US - now_us
        return -(-left_us // 1_000_000) if 0 < left_us <= self._WINDOW_US else 0


def _network(peer: str) -> str:
    if ":" not in peer or "." in peer:
        return peer
    head, gap, tail = peer.partition("::")
    groups = head.split(":") if head else []
    if gap:
        groups += ["0"] * (8 - len(groups) - (tail.count(":") + 1 if tail else 0))
    return ":".join(groups[:4])


def _text(data: bytes) -> str:
    return b64encode(data).decode()
