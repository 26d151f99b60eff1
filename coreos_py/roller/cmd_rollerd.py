"""The `rollerd` command: the update server with its dashboard.

Flags and environment as CoreRoller's rollerd has them, and ours beside them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

from coreos_py.base import golog
from coreos_py.base.errors import ConfigError, CoreosError
from coreos_py.cli.grammar import GO
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import BOOL, STRING, Setting
from coreos_py.roller import setup
from coreos_py.roller.daemon import Daemon
from coreos_py.roller.options import Options, read

if TYPE_CHECKING:
    from coreos_py.cli.settings import Kind

log = logging.getLogger(__name__)


def _one(name: str, kind: Kind, default: str = "", *, help: str, metavar: str = "") -> Setting:
    env = "ROLLERD_" + name.upper().replace("-", "_")
    return Setting(name, kind, default, env=env, help=help, metavar=metavar)


SETTINGS = (
    _one("bind", STRING, "127.0.0.1:8000", help="where to serve", metavar="HOST:PORT"),
    _one(
        "data-dir",
        STRING,
        "default.rollerd",
        help="where database and payloads are, made when it is not there",
        metavar="DIR",
    ),
    _one(
        "db",
        STRING,
        help="the database: a file, or postgres://USER:PASSWORD@HOST/NAME (DATA-DIR/rollerd.db)",
        metavar="URL",
    ),
    _one(
        "public-url",
        STRING,
        help="how machines reach this server (what their request says)",
        metavar="URL",
    ),
    _one("coreroller-url", STRING, help="the same, as CoreRoller calls it", metavar="URL"),
    _one(
        "coreos-packages-path",
        STRING,
        help="where the payloads are that are served (DATA-DIR/packages)",
        metavar="DIR",
    ),
    _one("payload-max", STRING, "4G", help="largest payload to take", metavar="SIZE"),
    _one(
        "keep-events",
        STRING,
        help="forget machines' events and changes of status after so long (never)",
        metavar="TIME",
    ),
    _one("enable-syncer", BOOL, help="look for new versions on the servers named as upstreams"),
    _one("host-coreos-packages", BOOL, help="download what the syncer finds, and serve it"),
    _one("http-log", BOOL, help="a line on stdout for every request"),
    _one(
        "http-static-dir", STRING, help="the dashboard's files, other than our own", metavar="DIR"
    ),
    _one(
        "compat",
        STRING,
        help="coreroller: answer machines as CoreRoller did, errors and all",
        metavar="STYLE",
    ),
    _one("title", STRING, "rollerd", help="what the dashboard calls this server"),
    _one("anonymous-read", BOOL, help="show everything to who does not sign in"),
    _one("trust-proxy", BOOL, help="take clients' addresses from X-Forwarded-For"),
    _one("cert", STRING, help="the certificate, to serve https", metavar="FILE"),
    _one("key", STRING, help="its key", metavar="FILE"),
    _one(
        "admin-password-file",
        STRING,
        help="what the first password of admin shall be; else one is made and shown once",
        metavar="FILE",
    ),
    _one(
        "reset-password",
        STRING,
        help="give this user a new password, show it, and exit",
        metavar="USER",
    ),
    _one("etcd", STRING, help="the etcd that has the reboot locks", metavar="URL,..."),
    _one("etcd-api", STRING, "v2", help="its API: v2, or v3 for etcd 3.x", metavar="API"),
    _one("etcd-cafile", STRING, help="authority that signed etcd's certificate", metavar="FILE"),
    _one("etcd-certfile", STRING, help="client certificate for etcd", metavar="FILE"),
    _one("etcd-keyfile", STRING, help="its key", metavar="FILE"),
    _one("etcd-username", STRING, help="user to etcd, where it has users", metavar="NAME"),
    _one("etcd-password", STRING, help="that user's password"),
    Setting("version", BOOL, help="print the version and exit"),
)

PROGRAM = Program(
    "rollerd",
    GO,
    settings=SETTINGS,
    target="coreos_py.roller.cmd_rollerd:serve",
    version="1.0.6+coreos-py",
    help="tells machines which version to run, and hands it out",
)


def main(argv: list[str]) -> int:
    """Run the server in the foreground."""
    return PROGRAM.run(argv)


def serve(call: Call) -> int:
    """Serve until told to stop; the exit status."""
    under_init = os.getppid() == 1 and "JOURNAL_STREAM" in os.environ
    golog.setup(golog.JournalFormatter() if under_init else golog.EtcdFormatter())
    try:
        if call.args:
            raise ConfigError(f"rollerd takes no arguments, but was given {call.args[0]!r}")
        options = read(call.settings, os.environ)
        if options.reset_password:
            _reset(options)
            return 0
        return asyncio.run(Daemon(options).run())
    except CoreosError as error:
        hint = f" ({error.hint})" if error.hint else ""
        print(f"rollerd: {error}{hint}", file=sys.stderr)
        return error.exit_code


def _reset(options: Options) -> None:
    password = setup.reset_password(options)
    print(f"the new password of {options.reset_password} is {password}")
