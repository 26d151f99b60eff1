"""The command table: one row per name the archive answers to.

Adding a command touches this table, its module, its man page and nothing else. Aliases are rows
with the same target; the module sees the name it was called by in argv[0]. Imports nothing, because
every start of every command reads it.
"""

from __future__ import annotations

CLI = "cli"  # lazy imports, quick exit
DAEMON = "daemon"  # imports everything before it is ready, normal exit
OWN = "own"  # the suite's own command


class Row:
    """One command: where its `main(argv) -> int` is and how to describe it."""

    __slots__ = ("help", "kind", "name", "page", "target")

    def __init__(self, name: str, target: str, kind: str, page: str, *, help: str) -> None:
        self.name = name
        self.target = target
        self.kind = kind
        self.page = page
        self.help = help


_ETCD = "coreos_py.etcd.cmd_etcd:main"
_ETCDCTL = "coreos_py.etcd.cmd_etcdctl:main"
_FLEETD = "coreos_py.fleet.cmd_fleetd:main"
_FLEETCTL = "coreos_py.fleet.cmd_fleetctl:main"
_LOCKSMITHCTL = "coreos_py.locksmith.cmd_locksmithctl:main"
_LOCKSMITHD = "coreos_py.locksmith.cmd_locksmithd:main"
_DISCOVERY = "coreos_py.discovery.cmd_discovery:main"
_CLOUDINIT = "coreos_py.cloudinit.cmd_coreos_cloudinit:main"
_UPDATE_SSH_KEYS = "coreos_py.cloudinit.cmd_update_ssh_keys:main"
_IGNITION = "coreos_py.ignition.cmd_ignition:main"
_VALIDATE = "coreos_py.ignition.cmd_validate:main"
_CGPT = "coreos_py.update.cmd_cgpt:main"
_UPDATE_ENGINE = "coreos_py.update.cmd_update_engine:main"
_UPDATE_CLIENT = "coreos_py.update.cmd_update_engine_client:main"
_UPDATE_STUB = "coreos_py.update.cmd_stub:main"
_ROOTDEV = "coreos_py.update.cmd_rootdev:main"
_SETGOODROOT = "coreos_py.update.cmd_setgoodroot:main"
_UPDATECTL = "coreos_py.updatectl.cmd_updatectl:main"
_POSTINST = "coreos_py.update.cmd_postinst:main"
_ROLLERD = "coreos_py.roller.cmd_rollerd:main"

ROWS = (
    Row("coreos", "coreos_py.cmd_coreos:main", OWN, "coreos(1)", help="the suite's own verbs"),
    Row("etcd", _ETCD, DAEMON, "etcd(8)", help="replicated key-value store"),
    Row("etcd2", _ETCD, DAEMON, "etcd(8)", help="same program as etcd"),
    Row("etcdctl", _ETCDCTL, CLI, "etcdctl(1)", help="client for etcd's keys"),
    Row("fleetd", _FLEETD, DAEMON, "fleetd(8)", help="units across machines"),
    Row("fleetctl", _FLEETCTL, CLI, "fleetctl(1)", help="client for fleetd"),
    Row("locksmithd", _LOCKSMITHD, DAEMON, "locksmithd(8)", help="reboots after updates"),
    Row("locksmithctl", _LOCKSMITHCTL, CLI, "locksmithctl(1)", help="client for the reboot lock"),
    Row("update_engine", _UPDATE_ENGINE, DAEMON, "update_engine(8)", help="system updates"),
    Row(
        "update_engine_client",
        _UPDATE_CLIENT,
        CLI,
        "update_engine_client(1)",
        help="client for update_engine",
    ),
    Row("ignition", _IGNITION, CLI, "ignition(8)", help="configures a machine at first boot"),
    Row(
        "ignition-validate",
        _VALIDATE,
        CLI,
        "ignition-validate(1)",
        help="checks an Ignition config",
    ),
    Row("etcd-discovery", _DISCOVERY, DAEMON, "etcd-discovery(8)", help="how new clusters meet"),
    Row("discovery", _DISCOVERY, DAEMON, "etcd-discovery(8)", help="same as etcd-discovery"),
    Row("update_engine_stub", _UPDATE_STUB, CLI, "update_engine_stub(8)", help="only checks in"),
    Row("rollerd", _ROLLERD, DAEMON, "rollerd(8)", help="server of updates, with a dashboard"),
    Row("cgpt", _CGPT, CLI, "cgpt(8)", help="partition tables and slots"),
    Row("rootdev", _ROOTDEV, CLI, "rootdev(8)", help="the device that a path is on"),
    Row("coreos-setgoodroot", _SETGOODROOT, CLI, "coreos-setgoodroot(8)", help="mark a good slot"),
    Row("coreos-postinst", _POSTINST, CLI, "coreos-postinst(8)", help="what a new image runs"),
    Row("updatectl", _UPDATECTL, CLI, "updatectl(1)", help="client for the update server"),
    Row("updateservicectl", _UPDATECTL, CLI, "updatectl(1)", help="same program as updatectl"),
    Row("coreos-cloudinit", _CLOUDINIT, CLI, "coreos-cloudinit(1)", help="applies user-data"),
    Row("update-ssh-keys", _UPDATE_SSH_KEYS, CLI, "update-ssh-keys(1)", help="sets of SSH keys"),
)

TABLE = {row.name: row for row in ROWS}

# What `coreos VERB` understands itself; everything else after `coreos` is a row of the table.
VERBS = (
    "cluster",
    "completion",
    "doctor",
    "help",
    "install",
    "list",
    "man",
    "payload",
    "units",
    "version",
)
