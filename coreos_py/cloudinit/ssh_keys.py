"""The sets of authorised keys that update-ssh-keys keeps for a user.

Mirrors CoreOS' shell script of that name: `~/.ssh/authorized_keys.d` has one file per set, and
`~/.ssh/authorized_keys` is all of them one after the other.
"""

from __future__ import annotations

import contextlib
import os
import pwd

from coreos_py.base.atomic import write_all
from coreos_py.base.errors import CoreosError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_OLD = "old_authorized_keys"


class KeysError(CoreosError):
    """The keys cannot be changed; `exit_code` is the program's."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def account_of(user: str) -> pwd.struct_passwd:
    """The user's account, which must have a home; KeysError."""
    try:
        account = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise KeysError(f"user {user} does not exist") from None
    if not os.path.isdir(account.pw_dir):
        raise KeysError(f"home directory {account.pw_dir} of user {user} does not exist")
    return account


def become(account: pwd.struct_passwd) -> None:
    """Take on the user's rights for good, so that no link in a home leads root anywhere.

    A home that is not the user's gets its .ssh before that.
    """
    os.umask(0o077)
    if os.geteuid() != 0 or account.pw_uid == 0:
        return
    path = os.path.join(account.pw_dir, ".ssh")
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(fd, account.pw_uid, account.pw_gid)
        finally:
            os.close(fd)
    os.initgroups(account.pw_name, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


class KeySets:
    """One user's sets; `become` the user before."""

    def __init__(
        self, account: pwd.struct_passwd, *, program: str, say: Callable[[str], None]
    ) -> None:
        self.user = account.pw_name
        self._program = program
        self._say = say
        self._ssh = os.path.join(account.pw_dir, ".ssh")
        self._directory = os.path.join(self._ssh, "authorized_keys.d")
        self._file = os.path.join(self._ssh, "authorized_keys")

    def prepare(self) -> None:
        """Make the directory; keys from before it become a set of their own."""
        for path in (self._ssh, self._directory):
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                continue
            if path == self._directory:
                self._keep_old()

    def _keep_old(self) -> None:
        try:
            with open(self._file, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return
        self._replace(os.path.join(self._directory, _OLD), data)

    def _path(self, name: str) -> str:
        if not name or "/" in name or "\0" in name or name.startswith("."):
            raise KeysError(f"{name!r} is not a name for a set of keys")
        return os.path.join(self._directory, name)

    def names(self) -> list[str]:
        """The sets, disabled ones too."""
        return sorted(name for name in os.listdir(self._directory) if not name.startswith("."))

    def add(self, name: str, data: bytes, *, force: bool, replace: bool) -> None:
        """Make `data` the set; not if it is disabled, unless forced, or is to be kept."""
        path = self._path(name)
        if os.path.isfile(path):
            if not force and os.path.getsize(path) == 0:
                self._say(f"Skipping add {name} for {self.user}, disabled.")
                return
            if not replace:
                self._say(f"Skipping add {name} for {self.user}, already exists.")
                return
        self._say(f"Adding/updating {name}:")
        self._say(self.fingerprints(data))
        self._replace(path, data)

    def delete(self, name: str) -> None:
        """Forget the set."""
        path = self._path(name)
        if not os.path.isfile(path):
            raise KeysError(f"no set {name} for {self.user}")
        self._say(f"Removing {name}:")
        self._tell(self._read(name))
        os.unlink(path)

    def disable(self, name: str) -> None:
        """Empty the set, so that later additions are ignored."""
        path = self._path(name)
        self._say(f"Disabling {name}:")
        if os.path.isfile(path):
            self._tell(self._read(name))
        self._replace(path, b"")

    def show(self) -> None:
        """Print every set with its fingerprints."""
        self._say(f"All keys for {self.user}:")
        for name in self.names():
            data = self._read(name)
            self._say(f"{name}:" if data else f"{name}: disabled")
            self._tell(data)

    def _tell(self, data: bytes) -> None:
        """Print the fingerprints of keys that are here already, if they have any."""
        if data:
            with contextlib.suppress(KeysError):
                self._say(self.fingerprints(data))

    def regenerate(self) -> None:
        """Write authorized_keys from the sets; KeysError when there is no key at all."""
        texts = [data for name in self.names() if (data := self._read(name))]
        if not texts:
            raise KeysError(f"no keys found in {self._directory}")
        whole = [f"# auto-generated by {self._program}\n".encode()]
        whole += [data if data.endswith(b"\n") else data + b"\n" for data in texts]
        self._replace(self._file, b"".join(whole))
        self._say(f"Updated {self._file}")

    def _read(self, name: str) -> bytes:
        with open(os.path.join(self._directory, name), "rb") as file:
            return file.read()

    def fingerprints(self, data: bytes) -> str:
        """What ssh-keygen says about the keys; KeysError when it does not take them."""
        import subprocess

        try:
            done = subprocess.run(
                ["ssh-keygen", "-l", "-f", "-"], input=data, capture_output=True, check=False
            )
        except FileNotFoundError:
            raise KeysError("ssh-keygen is not installed", exit_code=127) from None
        said, complaint = (
            text.decode("utf-8", "replace").strip() for text in (done.stdout, done.stderr)
        )
        if done.returncode != 0:
            raise KeysError(complaint or said, exit_code=done.returncode & 0xFF)
        return said

    def _replace(self, path: str, data: bytes) -> None:
        """A file of the user's own, swapped in whole; one that is the same already is left."""
        if _holds(path, data):
            return
        temporary = f"{path}.{os.getpid()}.tmp"
        if os.path.dirname(path) == self._directory:
            temporary = os.path.join(self._directory, f".{os.path.basename(temporary)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600)
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)


def _holds(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_mode & 0o777 == 0o600 and file.read() == data
    except OSError:
        return False
