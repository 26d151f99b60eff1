"""etcdctl's command line: global settings, commands, and where it is kinder than etcdctl 2.3.8."""

from __future__ import annotations

import sys

from coreos_py.cli import grammar
from coreos_py.cli.grammar import CODEGANGSTA
from coreos_py.cli.program import Command, Program, load
from coreos_py.cli.settings import BOOL, DURATION, INT, STRING, STRINGS, Setting, resolve
from coreos_py.etcd.ctl.session import DEFAULT_ENDPOINTS, EXIT_BAD_ARGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.grammar import FlagError
    from coreos_py.cli.program import Call

VERSION = "2.3.8"  # of the program whose behaviour this is; scripts compare it

_KEYS = "coreos_py.etcd.ctl.keys"
_WATCH = "coreos_py.etcd.ctl.watch"
_TRANSFER = "coreos_py.etcd.ctl.transfer"
_SNAPSHOT = "coreos_py.etcd.ctl.snapshot"
_MEMBERS = "coreos_py.etcd.ctl.members"
_USER = "coreos_py.etcd.ctl.user"
_ROLE = "coreos_py.etcd.ctl.role"
_AUTH = "coreos_py.etcd.ctl.auth"

_OLD = "use --endpoints"
SETTINGS = (
    Setting("debug", BOOL, help="print every request as a curl command on stderr"),
    Setting("no-sync", BOOL, help="use the endpoints as given, do not ask for the members' URLs"),
    Setting(
        "output",
        STRING,
        "simple",
        aliases=("o",),
        help="simple, extended or json",
        metavar="FORMAT",
    ),
    Setting(
        "peers", STRING, env="ETCDCTL_PEERS", aliases=("C",), deprecated=_OLD, metavar="URL,..."
    ),
    Setting("endpoint", STRING, env="ETCDCTL_ENDPOINT", deprecated=_OLD, metavar="URL,..."),
    Setting(
        "endpoints",
        STRING,
        env="ETCDCTL_ENDPOINTS",
        help=f"where the cluster is; without any, {DEFAULT_ENDPOINTS}",
        metavar="URL,...",
    ),
    Setting(
        "discovery-srv",
        STRING,
        env="ETCDCTL_DISCOVERY_SRV",
        aliases=("D",),
        help="domain whose SRV records name the endpoints",
        metavar="DOMAIN",
    ),
    Setting(
        "cert-file",
        STRING,
        env="ETCDCTL_CERT_FILE",
        help="client certificate for https",
        metavar="FILE",
    ),
    Setting(
        "key-file",
        STRING,
        env="ETCDCTL_KEY_FILE",
        help="key of the client certificate",
        metavar="FILE",
    ),
    Setting(
        "ca-file",
        STRING,
        env="ETCDCTL_CA_FILE",
        help="authorities that servers are checked against",
        metavar="FILE",
    ),
    Setting(
        "username",
        STRING,
        aliases=("u",),
        help="log in; asks for the password when it is left out",
        metavar="USER[:PASSWORD]",
    ),
    Setting("timeout", DURATION, "1s", help="how long one endpoint may take to answer"),
    Setting(
        "total-timeout", DURATION, "5s", help="how long the command may take, watches excepted"
    ),
    Setting("version", BOOL, aliases=("v",), help="print the version"),
)

_TTL = Setting("ttl", INT, "0", help="remove it after so many seconds", metavar="SECONDS")
_SORT = Setting("sort", BOOL, help="sort the answer by key")
_QUORUM = Setting("quorum", BOOL, help="ask a majority, so that the answer cannot be stale")
_AFTER = Setting("after-index", INT, "0", help="start after this index", metavar="INDEX")

_DASH = """
A value that begins with a dash is taken for a flag unless it cannot be one.
Put -- before the key to be sure:

$ etcdctl {name} -- <key> <value>
"""

_MEMBER_COMMANDS = (
    Command("list", f"{_MEMBERS}:list_", args=" ", help="list the members of the cluster"),
    Command("add", f"{_MEMBERS}:add", args="<name> <peerURL>", help="announce a new member"),
    Command("remove", f"{_MEMBERS}:remove", args="<memberID>", help="remove a member for good"),
    Command(
        "update",
        f"{_MEMBERS}:update",
        args="<memberID> <peerURLs>",
        help="change the peer URLs of a member",
    ),
)

_SNAPSHOT_COMMANDS = (
    Command(
        "save",
        f"{_SNAPSHOT}:save",
        args="<file>",
        help="save one consistent copy of a running cluster's keys",
        settings=(Setting("local", BOOL, help="what one member has, without asking a majority"),),
    ),
    Command("status", f"{_SNAPSHOT}:status", args="<file>", help="check a copy and tell about it"),
    Command(
        "restore",
        f"{_SNAPSHOT}:restore",
        args="<file>",
        help="make a member's data directory from a copy",
        settings=(
            Setting("name", STRING, "default", help="name of the member"),
            Setting("data-dir", STRING, help="what to make (NAME.etcd)", metavar="DIR"),
            Setting("wal-dir", STRING, help="where to put the log, if elsewhere", metavar="DIR"),
            Setting(
                "initial-cluster",
                STRING,
                "default=http://localhost:2380",
                help="the members of the new cluster",
                metavar="NAME=URL,...",
            ),
            Setting(
                "initial-cluster-token",
                STRING,
                "etcd-cluster",
                help="keeps clusters restored from one copy apart",
            ),
            Setting(
                "initial-advertise-peer-urls",
                STRING,
                "http://localhost:2380",
                help="peer URLs of the member",
                metavar="URL,...",
            ),
        ),
    ),
)

_ROLES = Setting("roles", STRINGS, help="a role; give it again for more", metavar="ROLE")
_USER_COMMANDS = (
    Command(
        "add",
        f"{_USER}:add",
        args="<user>[:<password>]",
        help="add a user; asks for the password when it is left out",
    ),
    Command("get", f"{_USER}:get", args="<user>", help="show the roles of a user"),
    Command("list", f"{_USER}:list_", args=" ", help="list the users"),
    Command("remove", f"{_USER}:remove", args="<user>", help="remove a user"),
    Command(
        "grant", f"{_USER}:grant", args="<user>", help="give roles to a user", settings=(_ROLES,)
    ),
    Command(
        "revoke",
        f"{_USER}:revoke",
        args="<user>",
        help="take roles from a user",
        settings=(_ROLES,),
    ),
    Command("passwd", f"{_USER}:passwd", args="<user>", help="change the password of a user"),
)

_PERMISSIONS = (
    Setting("path", STRING, help="the key, or with * at its end all keys that begin so"),
    Setting("read", BOOL, help="reading only"),
    Setting("write", BOOL, help="writing only"),
    Setting("readwrite", BOOL, help="both"),
)
_ROLE_COMMANDS = (
    Command("add", f"{_ROLE}:add", args="<role>", help="add a role that allows nothing yet"),
    Command("get", f"{_ROLE}:get", args="<role>", help="show what a role allows"),
    Command("list", f"{_ROLE}:list_", args=" ", help="list the roles"),
    Command("remove", f"{_ROLE}:remove", args="<role>", help="remove a role"),
    Command(
        "grant",
        f"{_ROLE}:grant",
        args="<role>",
        help="let a role read or write keys",
        settings=_PERMISSIONS,
    ),
    Command(
        "revoke",
        f"{_ROLE}:revoke",
        args="<role>",
        help="let a role no longer read or write keys",
        settings=_PERMISSIONS,
    ),
)

_AUTH_COMMANDS = (
    Command("enable", f"{_AUTH}:enable", args=" ", help="ask for credentials from now on"),
    Command("disable", f"{_AUTH}:disable", args=" ", help="let everybody in again"),
)

COMMANDS = (
    Command(
        "backup",
        "coreos_py.etcd.ctl.backup:backup",
        args=" ",
        help="copy a data directory, also one in use",
        settings=(
            Setting("data-dir", STRING, help="what to copy", metavar="DIR"),
            Setting("wal-dir", STRING, help="its log, if kept elsewhere", metavar="DIR"),
            Setting("backup-dir", STRING, help="where to", metavar="DIR"),
            Setting(
                "backup-wal-dir", STRING, help="where to put the log, if elsewhere", metavar="DIR"
            ),
        ),
    ),
    Command(
        "cluster-health",
        "coreos_py.etcd.ctl.health:cluster_health",
        args=" ",
        help="check the health of every member",
        settings=(Setting("forever", BOOL, help="check every 10 seconds until interrupted"),),
    ),
    Command(
        "mk",
        f"{_KEYS}:mk",
        args="<key> <value>",
        help="make a key that does not exist yet",
        about=_DASH.format(name="mk"),
        settings=(Setting("in-order", BOOL, help="make an in-order child of <key>"), _TTL),
    ),
    Command("mkdir", f"{_KEYS}:mkdir", args="<key>", help="make a directory", settings=(_TTL,)),
    Command(
        "rm",
        f"{_KEYS}:rm",
        args="<key>",
        help="remove a key or a directory",
        settings=(
            Setting("dir", BOOL, help="remove it also if it is an empty directory"),
            Setting("recursive", BOOL, help="remove a directory with all that is in it"),
            Setting("with-value", STRING, help="only if this is the value"),
            Setting(
                "with-index", INT, "0", help="only if this is the modified index", metavar="INDEX"
            ),
        ),
    ),
    Command("rmdir", f"{_KEYS}:rmdir", args="<key>", help="remove an empty directory or a key"),
    Command(
        "get",
        f"{_KEYS}:get",
        args="<key>",
        help="print the value of a key",
        settings=(_SORT, _QUORUM),
    ),
    Command(
        "ls",
        f"{_KEYS}:ls",
        args="[key]",
        help="list a directory",
        settings=(
            _SORT,
            Setting("recursive", BOOL, help="list all that is below it"),
            Setting("p", BOOL, help="put a slash after the names of directories"),
            _QUORUM,
        ),
    ),
    Command(
        "set",
        f"{_KEYS}:set_",
        args="<key> <value>",
        help="set the value of a key",
        about=_DASH.format(name="set"),
        settings=(
            _TTL,
            Setting("swap-with-value", STRING, help="only over this value"),
            Setting(
                "swap-with-index", INT, "0", help="only over this modified index", metavar="INDEX"
            ),
        ),
    ),
    Command(
        "setdir",
        f"{_KEYS}:setdir",
        args="<key>",
        help="make a directory, also over a key",
        settings=(_TTL,),
    ),
    Command(
        "update",
        f"{_KEYS}:update",
        args="<key> <value>",
        help="change the value of a key that exists",
        about=_DASH.format(name="update"),
        settings=(_TTL,),
    ),
    Command(
        "updatedir",
        f"{_KEYS}:updatedir",
        args="<key>",
        help="change the TTL of a directory that exists",
        settings=(_TTL,),
    ),
    Command(
        "watch",
        f"{_WATCH}:watch",
        args="<key>",
        help="print the next change of a key",
        settings=(
            Setting("forever", BOOL, help="go on until interrupted"),
            _AFTER,
            Setting("recursive", BOOL, help="watch all that is below it too"),
        ),
    ),
    Command(
        "exec-watch",
        f"{_WATCH}:exec_watch",
        args="<key> -- <command> [args...]",
        help="run a command at every change of a key",
        settings=(_AFTER, Setting("recursive", BOOL, help="watch all that is below it too")),
    ),
    Command(
        "export",
        f"{_TRANSFER}:export",
        args="[key]",
        help="print all keys below one, in a form that import reads",
        settings=(
            Setting("hidden", STRINGS, help="a hidden key to add; give it again for more"),
            Setting("snap", STRING, help="read this snapshot instead, hidden keys and all"),
        ),
    ),
    Command(
        "import",
        f"{_TRANSFER}:import_",
        args=" ",
        help="write the keys of an export or a snapshot",
        settings=(
            Setting("snap", STRING, help="what to read, - for standard input", metavar="FILE"),
            Setting("hidden", STRINGS, help="a hidden key to add; give it again for more"),
            Setting("c", INT, "10", help="how many connections to use", metavar="COUNT"),
        ),
    ),
    Command("member", help="list, add, remove and update members", commands=_MEMBER_COMMANDS),
    Command(
        "repair",
        "coreos_py.etcd.ctl.repair:repair",
        args=" ",
        help="say what is damaged in a data directory, and cut it off",
        settings=(
            Setting("data-dir", STRING, help="whose; it must not be in use", metavar="DIR"),
            Setting("wal-dir", STRING, help="its log, if kept elsewhere", metavar="DIR"),
            Setting("yes", BOOL, help="do what is proposed"),
        ),
    ),
    Command("snapshot", help="copies of a running cluster", commands=_SNAPSHOT_COMMANDS),
    Command("user", help="who may log in, and in which roles", commands=_USER_COMMANDS),
    Command("role", help="what a role may read and write", commands=_ROLE_COMMANDS),
    Command("auth", help="whether credentials are asked for", commands=_AUTH_COMMANDS),
)

_TAKES_VALUE = ("set", "mk", "update")


class Etcdctl(Program):
    """etcdctl 2.3.8's texts and exit codes (0 for unknown flags and commands), with two kindnesses:
    the problem is named on stderr, and a value like -5 or -----BEGIN is understood as one.
    """

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        command = call.path[-1] if call.path else None
        if command is not None and command.name in _TAKES_VALUE:
            found = _dashed_value(command, call.args[1:])
            if found is not None:
                call.args = found.args
                call.flags = resolve(command.settings, flags=found.flags)
                return load(command.target)(call)
        print(f"{self.name}: {err}", file=sys.stderr, flush=True)
        status = super().on_flag_error(call, err)
        lacks_words = command is not None and _takes_words(command, call, err)
        return EXIT_BAD_ARGS if lacks_words else status


def _takes_words(command: Command, call: Call, err: FlagError) -> bool:
    """Whether etcdctl 2.3.8, which puts flags first, would take an argument for a flag's value.

    It then lacks the argument, and ends with 1.
    """
    if err.reason != grammar.NO_ARGUMENT or call.args[1].startswith("-"):
        return False
    texts = (setting for setting in command.settings if setting.kind in (STRING, STRINGS))
    return any(err.flag in setting.names() for setting in texts)


def _dashed_value(command: Command, words: list[str]) -> grammar.Parsed | None:
    """Read `<key> -value` if exactly one word cannot be a flag and there is no other value."""
    odd = [
        i
        for i, word in enumerate(words)
        if word.startswith("-") and word != "--" and not _flag_like(word)
    ]
    if len(odd) != 1 or "--" in words:
        return None
    rest = [word for i, word in enumerate(words) if i != odd[0]]
    try:
        parsed = grammar.parse(command.settings, rest, dialect=CODEGANGSTA)
    except grammar.FlagError:
        return None
    if len(parsed.args) != 1 or words.index(parsed.args[0]) > odd[0]:
        return None
    parsed.args.append(words[odd[0]])
    return parsed


def _flag_like(word: str) -> bool:
    """One or two dashes, a letter, then letters, digits and dashes up to an optional `=`."""
    name = word.removeprefix("-").removeprefix("-").partition("=")[0]
    return name[:1].isalpha() and name.isascii() and name.replace("-", "a").isalnum()


PROGRAM = Etcdctl(
    "etcdctl",
    CODEGANGSTA,
    settings=SETTINGS,
    commands=COMMANDS,
    version=VERSION,
    help="client for etcd's keys",
)
