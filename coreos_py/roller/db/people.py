"""Who may do what: users, their tokens and their sessions."""

from __future__ import annotations

from coreos_py.roller.db.driver import Tx
from coreos_py.roller.records import Invalid, Session, Token, User

_USER = "SELECT name, secret, role, created_us FROM users"
_TOKEN = "SELECT id, name, role, hash, user_name, created_us, last_used_us FROM token"
_SESSION = "SELECT id, user_name, role, created_us, expires_us FROM session"


def user(tx: Tx, name: str) -> User | None:
    """The user of this name."""
    row = tx.one(f"{_USER} WHERE name = ?", name)
    return None if row is None else User._make(row)


def users(tx: Tx) -> list[User]:
    """All users by name."""
    return [User._make(row) for row in tx.all(f"{_USER} ORDER BY name")]


def add_user(tx: Tx, item: User) -> None:
    """Register a user; Invalid when the name is taken."""
    if user(tx, item.name) is not None:
        raise Invalid(f'there is a user "{item.name}" already')
    tx.execute(
        "INSERT INTO users (name, secret, role, created_us) VALUES (?, ?, ?, ?)",
        *item,
    )


def update_user(tx: Tx, item: User) -> bool:
    """Change secret and role; sessions and tokens get the role too. False if there is none."""
    changed = tx.execute(
        "UPDATE users SET secret = ?, role = ? WHERE name = ?", item.secret, item.role, item.name
    )
    if item.role != "admin":
        tx.execute("UPDATE token SET role = ? WHERE user_name = ?", item.role, item.name)
    tx.execute("UPDATE session SET role = ? WHERE user_name = ?", item.role, item.name)
    return changed > 0


def delete_user(tx: Tx, name: str) -> bool:
    """Remove a user with all tokens and sessions; False if there is none."""
    tx.execute("DELETE FROM session WHERE user_name = ?", name)
    tx.execute("DELETE FROM token WHERE user_name = ?", name)
    return tx.execute("DELETE FROM users WHERE name = ?", name) > 0


def token_by_hash(tx: Tx, token_hash: str) -> Token | None:
    """The token whose secret hashes so."""
    row = tx.one(f"{_TOKEN} WHERE hash = ?", token_hash)
    return None if row is None else Token._make(row)


def token(tx: Tx, token_id: str) -> Token | None:
    """The token with this id."""
    row = tx.one(f"{_TOKEN} WHERE id = ?", token_id)
    return None if row is None else Token._make(row)


def tokens(tx: Tx, *, of_user: str = "") -> list[Token]:
    """All tokens, or one user's, the newest first."""
    if of_user:
        rows = tx.all(f"{_TOKEN} WHERE user_name = ? ORDER BY created_us DESC, id", of_user)
    else:
        rows = tx.all(f"{_TOKEN} ORDER BY created_us DESC, id")
    return [Token._make(row) for row in rows]


def add_token(tx: Tx, item: Token) -> None:
    """Register a token."""
    tx.execute(
        "INSERT INTO token (id, name, role, hash, user_name, created_us, last_used_us)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        *item,
    )


def touch_token(tx: Tx, token_id: str, now_us: int) -> None:
    """Remember when a token was used."""
    tx.execute("UPDATE token SET last_used_us = ? WHERE id = ?", now_us, token_id)


def delete_token(tx: Tx, token_id: str) -> bool:
    """Remove a token; False if there is none."""
    return tx.execute("DELETE FROM token WHERE id = ?", token_id) > 0


def session(tx: Tx, session_id: str, now_us: int) -> Session | None:
    """The session with this id, unless it has expired."""
    row = tx.one(f"{_SESSION} WHERE id = ? AND expires_us > ?", session_id, now_us)
    return None if row is None else Session._make(row)


def add_session(tx: Tx, item: Session) -> None:
    """Register a session; those that expired before it are removed."""
    tx.execute("DELETE FROM session WHERE expires_us <= ?", item.created_us)
    tx.execute(
        "INSERT INTO session (id, user_name, role, created_us, expires_us) VALUES (?, ?, ?, ?, ?)",
        *item,
    )


def delete_session(tx: Tx, session_id: str) -> bool:
    """Remove a session; False if there is none."""
    return tx.execute("DELETE FROM session WHERE id = ?", session_id) > 0


def delete_sessions(tx: Tx, user_name: str) -> int:
    """Sign a user out everywhere; how many sessions there were."""
    return tx.execute("DELETE FROM session WHERE user_name = ?", user_name)
