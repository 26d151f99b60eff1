"""A PostgreSQL server of this machine's package, for as long as a test needs it."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Self
from urllib.parse import quote

from coreos_py.roller.db.postgres import Postgres
from tests.support.procs import free_ports

_PACKAGES = Path("/usr/lib/postgresql")


def _programs() -> Path | None:
    """Where initdb is; Debian has a directory per version."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(_PACKAGES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


PROGRAMS = _programs()
SECRET = "sécret, with = and ,"


class Server:
    """Listens on loopback and on a socket; use as a context manager.

    Over TCP it wants the password of the user `boss`, whose way to be asked is `method`; over the
    socket it believes anybody. What it has committed outlives the machine if it `is_durable`.
    """

    def __init__(
        self,
        *,
        method: str = "scram-sha-256",
        certificate: str = "",
        key: str = "",
        is_durable: bool = False,
    ) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="coreos-pg-"))
        self._data = self._root / "data"
        self._user = pwd.getpwnam("postgres" if os.geteuid() == 0 else pwd.getpwuid(os.getuid())[0])
        self._method = method
        self._tls = (certificate, key)
        self._is_durable = is_durable
        self.port = free_ports(1)[0]
        self.socket_url = f"postgres://boss@/postgres?host={self._root}&port={self.port}"

    def url(self, *, secret: str = SECRET, options: str = "") -> str:
        """The database over TCP."""
        query = f"?{options}" if options else ""
        return f"postgres://boss:{quote(secret)}@127.0.0.1:{self.port}/postgres{query}"

    def _run(self, program: str, *words: str) -> None:
        assert PROGRAMS is not None
        subprocess.run(
            [str(PROGRAMS / program), "-D", str(self._data), *words],
            user=self._user.pw_uid,
            group=self._user.pw_gid,
            extra_groups=[],
            cwd="/",
            check=True,
            capture_output=True,
            timeout=120,
        )

    def __enter__(self) -> Self:
        os.chown(self._root, self._user.pw_uid, self._user.pw_gid)
        try:
            self._run(
                *("initdb", "--no-sync", "--username=boss", "--encoding=UTF8", "--locale=C"),
                *("--auth-local=trust", f"--auth-host={self._method}"),
            )
            self._configure()
            self.start()
        except subprocess.CalledProcessError as err:
            shutil.rmtree(self._root, ignore_errors=True)
            raise AssertionError(err.stderr.decode()) from err
        with closing(Postgres(self.socket_url)) as database, database.transaction() as tx:
            tx.execute(f"ALTER ROLE boss PASSWORD '{SECRET}'")
        return self

    def start(self) -> None:
        """Let it serve (again)."""
        self._run("pg_ctl", "-w", "-t", "100", "-l", str(self._root / "log"), "start")

    def stop(self) -> None:
        """Cut everybody off."""
        self._run("pg_ctl", "-m", "fast", "-w", "stop")

    def crash(self) -> None:
        """End at once; what was committed is in the log that the next start reads."""
        self._run("pg_ctl", "-m", "immediate", "-w", "stop")

    def dump(self, line: str) -> str:
        """What this command prints, given the password."""
        assert PROGRAMS is not None
        program, *words = shlex.split(line)
        env = {**os.environ, "PGPASSWORD": SECRET}
        done = subprocess.run(
            [str(PROGRAMS / program), *words], env=env, check=True, capture_output=True, timeout=120
        )
        return done.stdout.decode()

    def _configure(self) -> None:
        lines = [
            f"port = {self.port}",
            "listen_addresses = '127.0.0.1'",
            f"unix_socket_directories = '{self._root}'",
            f"fsync = {'on' if self._is_durable else 'off'}",
            f"password_encryption = '{'md5' if self._method == 'md5' else 'scram-sha-256'}'",
        ]
        for name, source in zip(("cert", "key"), self._tls, strict=True):
            if source:
                copy = self._data / f"server.{name}"
                shutil.copyfile(source, copy)
                os.chown(copy, self._user.pw_uid, self._user.pw_gid)
                copy.chmod(0o600)
                lines.append(f"ssl_{name}_file = '{copy}'")
        if all(self._tls):
            lines.append("ssl = on")
        with (self._data / "postgresql.conf").open("a") as config:
            config.write("\n".join(lines) + "\n")

    def __exit__(self, *exc: object) -> None:
        self.crash()
        shutil.rmtree(self._root, ignore_errors=True)
