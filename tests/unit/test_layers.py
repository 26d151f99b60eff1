"""The rules about imports: arrows point down, nothing goes in circles, pure parts stay pure."""

from __future__ import annotations

import ast
import re
import sys

import pytest

from tests.support import imports

MAY_IMPORT = {
    "base": set(),
    "cli": {"base"},
    "http": {"base"},
    "raft": {"base"},
    "store": {"base"},
    "etcdclient": {"base", "http"},
    "etcd": {"base", "cli", "http", "raft", "store", "etcdclient"},
    "systemd": {"base", "cli", "http"},
    "discovery": {"base", "cli", "http", "etcdclient", "etcd"},
    "fleet": {"base", "cli", "http", "etcdclient", "etcd", "systemd"},
    "locksmith": {"base", "cli", "http", "etcdclient", "systemd"},
    "omaha": {"base"},
    "roller": {"base", "cli", "http", "etcdclient", "locksmith", "omaha", "update"},
    "update": {"base", "cli", "http", "omaha", "systemd"},
    "updatectl": {"base", "cli", "http", "omaha", "update"},
    "cloudinit": {"base", "cli", "http", "systemd"},
    "ignition": {"base", "cli", "http", "cloudinit"},
    "cluster": {"base", "cli", "http", "etcdclient", "etcd", "systemd", "fleet"},
    "suite": {"base", "cli", "units"},
    "units": set(),
}

# What everybody may import from the top: the version, and the table of names.
SHARED_TOP = {"coreos_py", "coreos_py.commands"}

_PURE_CLOUDINIT = (
    "config encoding environment fill gotext gourl ip lines metadata netconf plan render schema"
    " substitute userdata validate yaml"
)
_PURE_EMBEDDED = (
    "values words specifiers command environment definition directives"
    " policy effects states steps service graph engine"
)
_PURE_DISCOVERY = "routes limiter standing page metrics hosturl"
_PURE_IGNITION = (
    "jsontext schema decode report dataurl checks rules2 rules3 config merge plan diskplan text"
    " resolve convert"
)
_PURE_ETCD = (
    "keys_request pb pb_files pb_raft pb_request pb_wire rafthttp_codec replies stand_alone urls"
    " version wal_record wal_replay"
)
_PURE_ROLLER = (
    "auth interval judge leftovers metrics policy ranges records rest.fields rest.shapes"
    " rollout semver tally validate"
)
PURE = (
    "coreos_py.base.unitfile",
    *(f"coreos_py.etcd.{name}" for name in _PURE_ETCD.split()),
    "coreos_py.raft",
    "coreos_py.store",
    "coreos_py.fleet.job",
    "coreos_py.fleet.requirements",
    "coreos_py.fleet.scheduler",
    "coreos_py.fleet.reconcile",
    "coreos_py.fleet.heartbeat",
    "coreos_py.fleet.mirror",
    "coreos_py.fleet.lint",
    "coreos_py.fleet.resources",
    "coreos_py.fleet.board",
    "coreos_py.fleet.drain",
    "coreos_py.fleet.rebalance",
    "coreos_py.fleet.rollout",
    "coreos_py.fleet.events",
    *(f"coreos_py.discovery.{name}" for name in _PURE_DISCOVERY.split()),
    "coreos_py.etcdclient.v3map",
    "coreos_py.etcdclient.v3talk",
    "coreos_py.etcdclient.v3watch",
    "coreos_py.etcdclient.v3wire",
    "coreos_py.locksmith.notes",
    "coreos_py.locksmith.rebooter",
    *(f"coreos_py.ignition.{name}" for name in _PURE_IGNITION.split()),
    "coreos_py.locksmith.semaphore",
    "coreos_py.locksmith.window",
    "coreos_py.omaha",
    *(f"coreos_py.roller.{name}" for name in _PURE_ROLLER.split()),
    "coreos_py.http.hawk",
    "coreos_py.roller.coreupdate.form",
    "coreos_py.roller.coreupdate.records",
    "coreos_py.roller.db.pgwire",
    "coreos_py.roller.db.recall",
    "coreos_py.roller.syncplan",
    "coreos_py.updatectl.fakelife",
    "coreos_py.updatectl.omahaclient",
    "coreos_py.updatectl.table",
    "coreos_py.update.attempt",
    "coreos_py.update.config",
    "coreos_py.update.gpt",
    "coreos_py.update.payload",
    "coreos_py.update.prefs",
    "coreos_py.update.schedule",
    *(f"coreos_py.cloudinit.{name}" for name in _PURE_CLOUDINIT.split()),
    *(f"coreos_py.systemd.embedded.{name}" for name in _PURE_EMBEDDED.split()),
)
IMPURE_MODULES = {
    "asyncio",
    "datetime",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "uuid",
}
IMPURE_CALLS = {"open", "input", "print", "exec", "eval"}

GRAPH = imports.graph()
OURS = [item for item in GRAPH if item.target.split(".")[0] == "coreos_py"]


def test_every_family_has_a_place():
    families = {imports.family(name) for name in imports.modules()} - {"top"}
    assert families == set(MAY_IMPORT)


@pytest.mark.parametrize("family", sorted(MAY_IMPORT))
def test_arrows_point_down(family):
    wrong = [
        f"{item.module}:{item.line} imports {item.target}"
        for item in OURS
        if imports.family(item.module) == family
        and item.target not in SHARED_TOP
        and imports.family(item.target) not in MAY_IMPORT[family] | {family}
    ]
    assert wrong == []


def test_no_cycles():
    below: dict[str, set[str]] = {}
    for item in OURS:
        if item.at_load and item.target != item.module:
            below.setdefault(item.module, set()).add(item.target)
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, "cycle: " + " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for target in sorted(below.get(name, ())):
                visit(target, (*path, name))
            done.add(name)

    for name in sorted(below):
        visit(name, ())


def _pure_modules():
    names = [
        name
        for name in imports.modules()
        if any(name == pure or name.startswith(f"{pure}.") for pure in PURE)
    ]
    assert len(names) > len(PURE)
    return names


@pytest.mark.parametrize("name", _pure_modules())
def test_pure_parts_are_pure(name):
    path = imports.modules()[name]
    breaches = [
        f"line {item.line}: import {item.target}"
        for item in imports.of_module(name, path, set())
        if item.target.split(".")[0] in IMPURE_MODULES
    ]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in IMPURE_CALLS:
                breaches.append(f"line {node.lineno}: {node.func.id}()")
        elif isinstance(node, ast.Attribute) and node.attr in ("environ", "utcnow"):
            breaches.append(f"line {node.lineno}: .{node.attr}")
    assert breaches == []


def test_libraries_stay_in_their_places():
    """click behind cli and the suite's own verbs, D-Bus behind systemd."""
    places = {
        "click": {"cli", "suite", "cluster", "ignition", "update", "top"},
        "jeepney": {"systemd"},
        "crc32c": {"base"},
        "platformdirs": {"base", "cluster"},
    }
    foreign = {item.target.split(".")[0] for item in GRAPH} - sys.stdlib_module_names
    assert foreign - {"coreos_py"} == set(places)
    locks = ("requirements.txt", "requirements-accelerators.txt")
    bundled = {
        name
        for lock in locks
        for name in re.findall(
            r"^([\w.-]+)==", (imports.ROOT / "packaging" / lock).read_text(), re.MULTILINE
        )
    }
    assert bundled == set(places)
    wrong = [
        f"{item.module}:{item.line} imports {item.target}"
        for item in GRAPH
        if (allowed := places.get(item.target.split(".")[0])) is not None
        and imports.family(item.module) not in allowed
    ]
    assert wrong == []


def test_imports_are_absolute():
    for name, path in imports.modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), name
