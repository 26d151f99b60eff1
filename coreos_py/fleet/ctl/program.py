"""fleetctl's command line: global settings, commands, and where it differs from fleetctl 1.0.0.

Kinder than 1.0.0: `-l`, `-f`, `-A` and one-dash long flags work, an unknown command or flag does
not exit with 0.
"""

from __future__ import annotations

import sys

from coreos_py.cli.grammar import PFLAG
from coreos_py.cli.program import Command, Program
from coreos_py.cli.settings import BOOL, FLOAT, INT, STRING, Setting, env_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.grammar import FlagError
    from coreos_py.cli.program import Call
    from coreos_py.cli.settings import Kind

VERSION = "v1.0.0"  # of the program whose behaviour this is; scripts compare it
DEFAULT_ENDPOINT = "unix:///var/run/fleet.sock"
DEFAULT_ETCD = "http://127.0.0.1:2379,http://127.0.0.1:4001"
DEFAULT_PREFIX = "/_coreos.com/fleet/"

_HISTORY = "coreos_py.fleet.ctl.history"
_LIFE = "coreos_py.fleet.ctl.lifecycle"
_LISTS = "coreos_py.fleet.ctl.listing"
_MOVING = "coreos_py.fleet.ctl.moving"
_OUTPUT = "coreos_py.fleet.ctl.output"
_REMOTE = "coreos_py.fleet.ctl.remote"
_ROLLING = "coreos_py.fleet.ctl.rolling"


def _setting(name: str, kind: Kind, default: str, help_text: str, *, metavar: str = "") -> Setting:
    return Setting(
        name, kind, default, env=env_name("FLEETCTL_", name), help=help_text, metavar=metavar
    )


def _old(name: str, kind: Kind, default: str = "") -> Setting:
    env = env_name("FLEETCTL_", name)
    return Setting(name, kind, default, env=env, deprecated="use the other name", hidden=True)


SETTINGS = (
    _setting("endpoint", STRING, DEFAULT_ENDPOINT, "where fleetd, or etcd, is", metavar="URL"),
    _setting("driver", STRING, "API", "how to reach fleet: API or etcd", metavar="API|etcd"),
    _setting("etcd-key-prefix", STRING, DEFAULT_PREFIX, "where fleet keeps its data in etcd"),
    _setting("etcd-api", STRING, "v2", "etcd's API, with the etcd driver", metavar="v2|v3"),
    _setting("ca-file", STRING, "", "authority that signed the server's certificate"),
    _setting("cert-file", STRING, "", "client certificate for https"),
    _setting("key-file", STRING, "", "key of the client certificate"),
    _setting("tunnel", STRING, "", "reach everything through this host by ssh", metavar="HOST"),
    _setting("ssh-username", STRING, "core", "user on the machines"),
    _setting("ssh-timeout", FLOAT, "10", "seconds an ssh connection may take to be set up"),
    _setting("strict-host-key-checking", BOOL, "true", "verify the machines' ssh host keys"),
    _setting("known-hosts-file", STRING, "~/.fleetctl/known_hosts", "ssh host keys known so far"),
    _setting("request-timeout", FLOAT, "3", "seconds a request may take (fleetd: 20)"),
    _setting("debug", BOOL, "false", "tell every step and request on stderr"),
    Setting("version", BOOL, aliases=("v",), help="print the version and exit"),
    _old("experimental-api", BOOL, "true"),
    _old("etcd-keyfile", STRING),
    _old("etcd-certfile", STRING),
    _old("etcd-cafile", STRING),
)

_ATTEMPTS = Setting("block-attempts", INT, "0", help="give up after N waits of 2 s (0: never)")
_NO_BLOCK = Setting("no-block", BOOL, help="do not wait for the units to get there")
_REPLACE = Setting("replace", BOOL, help="replace units that differ in the cluster")
_SIGN = Setting("sign", BOOL, deprecated="cannot be used", hidden=True)
_SSH_PORT = Setting("ssh-port", INT, "22", help="port of the machines' ssh servers")
_FULL = Setting("full", BOOL, help="do not shorten IDs and hashes")
_FULL_L = Setting("full", BOOL, aliases=("l",), help="do not shorten IDs and hashes")
_AT_ONCE = Setting("max-unavailable", INT, "1", help="how many units may be down at a time")
_TIMEOUT = Setting("timeout", FLOAT, "60", help="seconds each unit has to get up")
_DRY_RUN = Setting("dry-run", BOOL, help="print what would be moved, and move nothing")
_NO_LEGEND = Setting("no-legend", BOOL, help="leave the column headers out")


def _fields(default: str, known: str) -> Setting:
    help_text = f"columns, separated by commas; known are {known}"
    return Setting("fields", STRING, default, help=help_text, metavar="FIELD,...")


COMMANDS = (
    Command("cat", f"{_LISTS}:cat", args="UNIT", help="print a unit as it was submitted"),
    Command(
        "cordon",
        f"{_MOVING}:cordon",
        args="MACHINE...",
        help="keep new units off machines",
        about=(
            "What is on a cordoned machine stays and may be restarted; nothing new is scheduled"
            " to it, until fleetctl uncordon, even if it restarts. Machines are named by a"
            " beginning of their IDs. Global units go everywhere all the same. An engine of"
            " fleet 1.0 does not know of cordons: while one leads, new units still come."
        ),
    ),
    Command(
        "destroy",
        f"{_LIFE}:destroy",
        args="UNIT...",
        help="stop units and remove them from the cluster",
        settings=(_ATTEMPTS, _NO_BLOCK),
    ),
    Command(
        "drain",
        f"{_MOVING}:drain",
        args="MACHINE...",
        help="cordon machines and move their units elsewhere",
        about=(
            "Each unit goes to the least loaded machine able to run it, together with the units"
            " that MachineOf ties to it, and is awaited there before the next one goes. It is"
            " started there while it is stopped here. Global units stay. What cannot be moved is"
            " named with the reasons of every machine; the exit code is then 1. The machines"
            " stay cordoned. Interrupted, the command can be given again."
        ),
        settings=(_AT_ONCE, _TIMEOUT, _DRY_RUN),
    ),
    Command(
        "events",
        f"{_HISTORY}:events",
        help="print what happened in the cluster",
        about=(
            "Units submitted, wanted otherwise, scheduled, unscheduled with the reason, moved,"
            " active, failed; machines that joined, left, were lost or cordoned. Every machine"
            " keeps its last 193 to 256 events for at most a week."
        ),
        settings=(
            Setting("follow", BOOL, aliases=("f",), help="go on with new events as they come"),
            Setting("unit", STRING, help="only of units that this matches", metavar="GLOB"),
            Setting("machine", STRING, help="only of machines whose ID begins so", metavar="ID"),
            Setting("json", BOOL, help="one JSON object per event; times in Unix milliseconds"),
            _FULL_L,
        ),
    ),
    Command(
        "fd-forward",
        f"{_REMOTE}:fd_forward",
        args="SOCKET",
        help="connect stdin and stdout to a unix socket",
        about="The far end of --tunnel. Not meant to be typed.",
    ),
    Command(
        "journal",
        f"{_OUTPUT}:journal",
        args="UNIT",
        help="print the journal of a unit",
        settings=(
            Setting("lines", INT, "10", help="how many recent lines"),
            Setting("follow", BOOL, aliases=("f",), help="go on with new lines as they come"),
            Setting("output", STRING, "short", help="output mode, as for journalctl"),
            _SSH_PORT,
            Setting("sudo", BOOL, help="run journalctl with sudo"),
        ),
    ),
    Command(
        "list-machines",
        f"{_LISTS}:list_machines",
        help="list the machines in the cluster",
        settings=(
            _fields(
                "machine,ip,metadata",
                "machine, ip, metadata, state, units, memory and cpu",
            ),
            _FULL_L,
            _NO_LEGEND,
        ),
    ),
    Command(
        "list-unit-files",
        f"{_LISTS}:list_unit_files",
        help="list the units that exist in the cluster",
        settings=(
            _fields(
                "unit,hash,dstate,state,target",
                "unit, global, dstate, target, state, hash, desc and reason",
            ),
            _FULL,
            _NO_LEGEND,
        ),
    ),
    Command(
        "list-units",
        f"{_LISTS}:list_units",
        help="list what the machines say about their units",
        settings=(
            _fields("unit,machine,active,sub", "unit, load, active, sub, machine and hash"),
            _FULL_L,
            _NO_LEGEND,
        ),
    ),
    Command(
        "load",
        f"{_LIFE}:load",
        args="UNIT...",
        help="give units a machine, submitting them first if necessary",
        settings=(_ATTEMPTS, _NO_BLOCK, _REPLACE, _SIGN),
    ),
    Command(
        "rebalance",
        f"{_MOVING}:rebalance",
        help="move units so that machines carry alike",
        about=(
            "Prints the plan, then carries it out as fleetctl drain does. Only moves that make"
            " the numbers of units more alike, or relieve a machine that has promised more than"
            " it has; cordoned machines are left alone."
        ),
        settings=(
            Setting("max-moves", INT, "0", help="make so many moves at most (0: all that help)"),
            _AT_ONCE,
            _TIMEOUT,
            _DRY_RUN,
        ),
    ),
    Command(
        "restart",
        f"{_LIFE}:restart",
        args="UNIT...",
        help="stop and start units, one after the other",
        settings=(_ATTEMPTS,),
    ),
    Command(
        "rollout",
        f"{_ROLLING}:rollout",
        args="UNIT...",
        help="replace or restart units, a few at a time",
        about=(
            "UNIT is a unit, a template for all its instances, or a glob. Each unit gets the text"
            " of its file, or its template's, in the folder of the argument, or of the template in"
            " the cluster; it has to become active with that and stay so before others follow. The"
            " first that does not stops the rollout: the rest is left as it was and named, and the"
            " exit code is 1. Units that have the text and are active are passed over, so the same"
            " command goes on later. A template in the cluster gets the text last. With --restart"
            " units are restarted as they are."
        ),
        settings=(
            _AT_ONCE,
            Setting("settle", FLOAT, "5", help="seconds a unit has to stay active"),
            _TIMEOUT,
            Setting("restart", BOOL, help="restart the units as they are"),
        ),
    ),
    Command(
        "ssh",
        f"{_REMOTE}:ssh",
        args="MACHINE|UNIT [COMMAND...]",
        help="open a shell, or run a command, on a machine",
        settings=(
            Setting("machine", STRING, help="the machine, by a beginning of its ID"),
            Setting("unit", STRING, help="the machine that runs this unit"),
            Setting("forward-agent", BOOL, aliases=("A",), help="forward the ssh agent"),
            _SSH_PORT,
        ),
    ),
    Command(
        "start",
        f"{_LIFE}:start",
        args="UNIT...",
        help="start units, submitting and loading them first if necessary",
        settings=(_ATTEMPTS, _NO_BLOCK, _REPLACE, _SIGN),
    ),
    Command(
        "status",
        f"{_OUTPUT}:status",
        args="UNIT...",
        help="print the status of units",
        settings=(_SSH_PORT,),
    ),
    Command(
        "stop",
        f"{_LIFE}:stop",
        args="UNIT...",
        help="stop units; they keep their machines",
        settings=(_ATTEMPTS, _NO_BLOCK),
    ),
    Command(
        "submit",
        f"{_LIFE}:submit",
        args="UNIT...",
        help="upload units without starting them",
        settings=(_REPLACE, _SIGN),
    ),
    Command(
        "uncordon",
        f"{_MOVING}:uncordon",
        args="MACHINE...",
        help="let new units come to machines again",
    ),
    Command(
        "unload",
        f"{_LIFE}:unload",
        args="UNIT...",
        help="stop units and take them off their machines",
        settings=(_ATTEMPTS, _NO_BLOCK),
    ),
    Command("verify", f"{_LISTS}:verify", args="UNIT", help="deprecated, does nothing"),
    Command("version", f"{_LISTS}:version", help="print the version and exit"),
)


class Fleetctl(Program):
    """fleetctl's own ways to complain."""

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        """Say what is wrong, twice as fleetctl 1.0.0 does; the exit code is not 0."""
        if err.flag == "h":  # --h is one of 1.0.0's long flags
            return self.on_help(call)
        sys.stderr.write(f"Error: {err}\n")
        print(self.help_text(call))
        sys.stdout.flush()
        sys.stderr.write(f"cannot execute cmdFleet: {err}\n")
        return 1

    def on_unknown_command(self, call: Call, name: str) -> int:
        """Say so in fleetctl 1.0.0's words."""
        text = f'unknown command "{name}" for "fleetctl"'
        near = [f"\t{command.name}\n" for command in COMMANDS if _is_near(name, command.name)]
        if near:
            text += "\n\nDid you mean this?\n" + "".join(near)
        sys.stderr.write(f"Error: {text}\n")
        sys.stderr.write("Run 'fleetctl --help' for usage.\n")
        sys.stderr.write(f"cannot execute cmdFleet: {text}\n")
        return 1

    def on_unknown_topic(self, call: Call, word: str) -> int:
        """Say so on stderr, then list what there is."""
        sys.stderr.write(f"Unknown help topic [`{word}`].\n")
        return self.on_help(call)


def _is_near(typed: str, name: str) -> bool:
    """Tell whether the words begin alike or are at most two changes of a letter apart."""
    typed = typed.lower()
    if name.startswith(typed):
        return True
    row = list(range(len(name) + 1))
    for number, letter in enumerate(typed, 1):
        corner, row[0] = row[0], number
        for at, other in enumerate(name, 1):
            corner, row[at] = (
                row[at],
                min(row[at] + 1, row[at - 1] + 1, corner + (letter != other)),
            )
    return row[-1] <= 2


PROGRAM = Fleetctl(
    "fleetctl",
    PFLAG,
    settings=SETTINGS,
    commands=COMMANDS,
    version=VERSION,
    help="starts, stops and shows units across the machines of a cluster",
)
