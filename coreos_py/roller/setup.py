"""Before rollerd serves: its directory, its database, and the first password."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from contextlib import closing
from typing import TYPE_CHECKING

from coreos_py.base.errors import ConfigError
from coreos_py.roller import auth
from coreos_py.roller.db import people
from coreos_py.roller.db.driver import Database, connect
from coreos_py.roller.db.setup import prepare
from coreos_py.roller.records import User

if TYPE_CHECKING:
    from coreos_py.roller.options import Options

ADMIN = "admin"
LOCK = "rollerd.lock"
_PASSWORD_BYTES = 15


def open_database(options: Options, *, read_only: bool = False) -> Database:
    """A connection to the database of these options; DatabaseError."""
    return connect(options.database, read_only=read_only)


def hold(path: str) -> int:
    """Make the data directory and take its lock, which ends with the process; ConfigError.

    A second rollerd would remove what is being uploaded to the first one.
    """
    _private_directory(path)
    try:
        lock = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"-data-dir: {path}: another rollerd is running there") from None
    except OSError as error:
        raise ConfigError(f"-data-dir: {path}: {error.strerror}") from None
    return lock


def first_start(options: Options) -> str:
    """Make what is missing; the password of admin if one was made up, "" otherwise.

    ConfigError, DatabaseError.
    """
    given = _given_password(options)
    with closing(open_database(options)) as database:
        prepare(database, _now_us())
        with database.transaction() as tx:
            if people.users(tx):
                return ""
            password = given or _new_password()
            hashed = auth.hash_password(password, secrets.token_bytes(auth.SALT_BYTES))
            people.add_user(tx, User(ADMIN, hashed, auth.ADMIN, _now_us()))
    return "" if given else password


def reset_password(options: Options) -> str:
    """Give a user a new password and end what is signed in by the old one; ConfigError."""
    name = options.reset_password
    if not options.is_postgres and not os.path.exists(options.database):
        raise ConfigError(f"there is no database {options.database}")
    password = _new_password()
    hashed = auth.hash_password(password, secrets.token_bytes(auth.SALT_BYTES))
    with closing(open_database(options)) as database:
        prepare(database, _now_us())
        with database.transaction() as tx:
            user = people.user(tx, name)
            if user is None:
                known = ", ".join(item.name for item in people.users(tx)) or "none"
                raise ConfigError(f"there is no user {name!r}", hint=f"there are: {known}")
            people.update_user(tx, user._replace(secret=hashed))
            people.delete_sessions(tx, name)
    return password


def _given_password(options: Options) -> str:
    """What file or environment say; "" if they do not."""
    path, password = options.admin_password_file, options.admin_password
    if path:
        try:
            with open(path, encoding="utf-8") as file:
                password = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
            raise ConfigError(f"-admin-password-file: {path}: {reason}") from None
    if (path or password) and (problem := auth.password_trouble(password)):
        raise ConfigError(f"the password of {ADMIN}: {problem}")
    return password


def _private_directory(path: str) -> None:
    """The data directory, for its owner alone when it is new."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except FileExistsError:
        raise ConfigError(f"-data-dir: {path}: Not a directory") from None
    except OSError as error:
        raise ConfigError(f"-data-dir: {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigError(f"-data-dir: {path}: Permission denied")


def _new_password() -> str:
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def _now_us() -> int:
    return time.time_ns() // 1000
