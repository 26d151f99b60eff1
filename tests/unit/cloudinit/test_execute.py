"""Steps carried out: files below a directory for the root, programs that only take notes."""

from __future__ import annotations

import os
import stat

import pytest

from coreos_py.base.errors import Unavailable
from coreos_py.cloudinit import config, execute, files, plan
from coreos_py.cloudinit.config import File
from coreos_py.cloudinit.execute import Executor, Machine
from coreos_py.cloudinit.fetch import Client
from coreos_py.cloudinit.files import FileError
from coreos_py.cloudinit.plan import StepError
from tests.support.httpd import Httpd

TOOL = """#!/bin/sh
{ printf '%s' "$(basename "$0")"; printf ' <%s>' "$@"; echo; } >> "$NOTES"
case "$(basename "$0")" in update-ssh-keys) cat >> "$NOTES" ;; esac
case "$*" in *refuse*) echo "says why" >&2; exit 9 ;; esac
"""
TOOLS = ("hostnamectl", "useradd", "update-ssh-keys", "chown", "modprobe")


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """The programs' notes; nothing of the machine is in reach of a test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        (folder / name).write_text(TOOL)
        (folder / name).chmod(0o755)
    path = tmp_path / "notes"
    path.write_text("")
    monkeypatch.setenv("NOTES", str(path))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return path


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "root"
    path.mkdir()
    return path


class Units:
    """Units in memory."""

    def __init__(self, results=()):
        self.calls = []
        self.results = dict(results)

    def enable(self, name, *, runtime):
        self.calls.append(("enable", name, runtime))
        self._maybe_fail(name)

    def reload(self):
        self.calls.append(("reload",))
        self._maybe_fail("reload")

    def run(self, name, command):
        self.calls.append((command, name))
        self._maybe_fail(name)
        return "done"

    def run_script(self, unit, description, argv):
        self.calls.append(("script", unit, argv))
        self._maybe_fail("script")
        return "done"

    def _maybe_fail(self, name):
        if name in self.results:
            raise Unavailable(self.results[name])


class Bench:
    def __init__(self, root, units=None):
        self.root = root
        self.log = []
        self.units = units or Units()
        self.executor = Executor(
            self.log.append,
            client=Client(self.log.append, pause=lambda _: None),
            units=lambda: self.units,
            root=str(root),
        )

    def apply(self, text, *, addresses=None, interfaces=()):
        found = config.from_texts([f"#cloud-config\n{text}".encode()])
        self.executor.run(
            plan.steps(
                found,
                Machine(root=str(self.root)),
                key_set="set",
                addresses=addresses or {},
                interfaces=interfaces,
            )
        )

    def tree(self):
        found = {}
        for path in sorted(self.root.rglob("*")):
            if path.is_symlink():
                found[str(path.relative_to(self.root))] = f"-> {path.readlink()}"
            elif path.is_file():
                found[str(path.relative_to(self.root))] = path.read_text()
        return found


WHOLE = """\
hostname: core-01
ssh-authorized-keys: [" k1 ", k2]
users:
  - name: no-such-user-here
    passwd: secret-hash
    ssh-authorized-keys: [k3]
write-files:
  - path: ../../srv/deep/file
    content: text
    permissions: "0640"
coreos:
  fleet: {metadata: a=b}
  update: {reboot-strategy: off, group: g}
  units:
    - {name: a.service, content: "[Service]\\n", enable: yes, command: start}
    - {name: b.service, mask: yes}
"""


def test_a_whole_config(notes, root):
    (root / "etc/coreos").mkdir(parents=True)
    (root / "etc/coreos/update.conf").write_text("GROUP=x\n")
    bench = Bench(root)
    bench.apply(WHOLE, addresses={"COREOS_PUBLIC_IPV4": "1.2.3.4"})
    assert notes.read_text().splitlines() == [
        "hostnamectl <set-hostname> <core-01>",
        "useradd <--password> <secret-hash> <--create-home> <no-such-user-here>",
        "update-ssh-keys <-u> <no-such-user-here> <-a> <set>",
        "k3",
        "update-ssh-keys <-u> <core> <-a> <set>",
        "k1",
        "k2",
    ]
    assert bench.tree() == {
        "srv/deep/file": "text",
        "etc/coreos/update.conf": "GROUP=g\nREBOOT_STRATEGY=off\n",
        "etc/environment": "COREOS_PUBLIC_IPV4=1.2.3.4\n",
        "etc/systemd/system/a.service": "[Service]\n",
        "etc/systemd/system/b.service": "-> /dev/null",
        "run/systemd/system/fleet.service.d/20-cloudinit.conf": (
            '[Service]\nEnvironment="FLEET_METADATA=a=b"\n'
        ),
        "run/systemd/system/locksmithd.service": "-> /dev/null",
    }
    assert bench.units.calls == [
        ("enable", "a.service", False),
        ("reload",),
        ("start", "a.service"),
        ("stop", "locksmithd.service"),
        ("restart", "update-engine.service"),
    ]
    assert stat.S_IMODE((root / "srv/deep/file").stat().st_mode) == 0o640


def test_a_second_run_changes_no_file(notes, root):
    (root / "etc/coreos").mkdir(parents=True)
    (root / "etc/coreos/update.conf").write_text("GROUP=x\n")
    stamps = []
    for _ in range(2):
        bench = Bench(root)
        bench.apply(WHOLE, addresses={"COREOS_PUBLIC_IPV4": "1.2.3.4"})
        found = {path: os.lstat(path) for path in sorted(root.rglob("*"))}
        stamps.append({path: (item.st_ino, item.st_mtime_ns) for path, item in found.items()})
    assert stamps[0] == stamps[1]


def test_the_log_is_upstreams(notes, root):
    bench = Bench(root)
    text = (
        "write-files: [{path: /a, content: x}]\ncoreos: {units: [{name: u.service, command: stop}]}"
    )
    bench.apply(text)
    assert bench.log == [
        f'Writing file to "{root}/a"',
        f'Wrote file to "{root}/a"',
        f"Wrote file {root}/a to filesystem",
        'Ensuring runtime unit file "etcd.service" is unmasked',
        'Ensuring runtime unit file "etcd2.service" is unmasked',
        'Ensuring runtime unit file "fleet.service" is unmasked',
        'Ensuring runtime unit file "locksmithd.service" is unmasked',
        'Calling unit command "stop" on "u.service"',
        'Result of "stop" on "u.service": done',
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hostname: refuse", "exit status 9"),
        ("ssh-authorized-keys: [k]\nusers: [{name: refuse}]", "exit status 9"),
        (
            "users: [{name: root, ssh-authorized-keys: [k]}]\nssh-authorized-keys: [x]",
            "",
        ),
        ("write-files: [{path: /a, owner: refuse}]", "exit status 9"),
        (
            "write-files: [{path: /a, permissions: rwx}]",
            'Unable to parse file permissions "rwx" as integer',
        ),
        (
            "coreos: {units: [{name: u.service, command: kill}]}",
            'Unsupported systemd command "kill"',
        ),
    ],
)
def test_what_fails(notes, root, text, message):
    bench = Bench(root)
    if not message:
        bench.apply(text)
        return
    with pytest.raises(StepError) as caught:
        bench.apply(text)
    assert str(caught.value) == message
    assert not [path for path in bench.tree() if "cloudinit-temp" in path]


def test_a_hash_is_not_logged(notes, root):
    bench = Bench(root)
    with pytest.raises(StepError):
        bench.apply("users: [{name: refuse, passwd: secret-hash}]")
    assert not any("secret-hash" in line for line in bench.log)
    command = "useradd --password *** --create-home refuse"
    assert f"Command '{command}' failed: exit status 9\nsays why\n" in bench.log


@pytest.mark.parametrize(
    ("results", "message", "calls"),
    [
        ({"a.service": "Unit a.service not found."}, "Unit a.service not found.", 1),
        ({"reload": "no"}, "failed systemd daemon-reload: no", 2),
    ],
)
def test_what_systemd_refuses(notes, root, results, message, calls):
    (root / "etc/coreos").mkdir(parents=True)
    (root / "etc/coreos/update.conf").write_text("")
    bench = Bench(root, Units(results))
    with pytest.raises(StepError) as caught:
        bench.apply(WHOLE)
    assert str(caught.value) == message
    assert len(bench.units.calls) == calls


def test_update_conf_comes_from_the_image_first(notes, root):
    with pytest.raises(StepError, match=r"open /usr/share/coreos/update\.conf: no such file"):
        Bench(root).apply("coreos: {update: {group: g}}")
    (root / "usr/share/coreos").mkdir(parents=True)
    (root / "usr/share/coreos/update.conf").write_text("SERVER=s")
    Bench(root).apply("coreos: {update: {group: g}}")
    assert (root / "etc/coreos/update.conf").read_text() == "SERVER=s\nGROUP=g\n"


def test_keys_from_a_url(notes, root):
    body = b'[{"id": 1, "key": " ssh-a "}, {"key": "ssh-b"}]'
    with Httpd({"/keys": (200, body), "/bad": (200, b"{}"), "/no": (200, b"no")}) as server:
        good = f"users: [{{name: root, coreos-ssh-import-url: '{server.url}/keys'}}]"
        Bench(root).apply(good)
        with pytest.raises(StepError, match=r"^json: .* object into Go value of type \[\]struct$"):
            Bench(root).apply(good.replace("/keys", "/bad"))
        with pytest.raises(StepError, match=r"^invalid character 'o' .* \(line 1, column 1\)$"):
            Bench(root).apply(good.replace("/keys", "/no"))
        with pytest.raises(StepError, match=r"Not found\. HTTP status code: 404"):
            Bench(root).apply(good.replace("/keys", "/gone"))
    assert notes.read_text().splitlines() == [
        "update-ssh-keys <-u> <root> <-a> <coreos-cloudinit-root>",
        "ssh-a",
        "ssh-b",
    ]


def test_scripts(notes, root):
    bench = Bench(root)
    bench.executor.run_script(b"#!/bin/python\n", "/var/lib/ws", name="123")
    script = root / "var/lib/ws/scripts/123"
    assert script.read_bytes() == b"#!/bin/python\n"
    assert stat.S_IMODE(script.stat().st_mode) == 0o744
    name = "coreos-cloudinit-123.service"
    assert (script.parent / "unit-name").read_text() == name
    assert bench.units.calls == [("script", name, ["/bin/bash", str(script)])]
    bench = Bench(root, Units({"script": "no bus"}))
    with pytest.raises(StepError, match="no bus"):
        bench.executor.run_script(b"#!/bin/sh\n", "/var/lib/ws", name="456")
    assert (script.parent / "unit-name").read_text() == "coreos-cloudinit-456.service"


def test_modules_for_interfaces(notes, root):
    step = plan.RestartNetwork(
        (
            plan.net.Interface("v", "vlan", plan.net.Method("dhcp")),
            plan.net.Interface("b", "bond", plan.net.Method("dhcp"), options=(("mode", "x"),)),
        )
    )
    bench = Bench(root)
    bench.executor.run([step])
    assert notes.read_text().splitlines() == [
        "modprobe <8021q>",
        "modprobe <bonding> <mode=x>",
    ]
    assert bench.units.calls == [("restart", "systemd-networkd.service")]


def test_networkd_is_restarted_whatever_happens(notes, root, monkeypatch):
    monkeypatch.setattr(execute.plan, "modprobes", lambda _: [["refuse"]])
    bench = Bench(root)
    with pytest.raises(StepError):
        bench.executor.run([plan.RestartNetwork(())])
    assert bench.units.calls == [("restart", "systemd-networkd.service")]


# Files


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/a/b", "a/b"),
        ("a", "a"),
        ("../../../a", "a"),
        ("/x/../../a", "a"),
        ("//a//b/./c/..", "a/b"),
    ],
)
def test_targets_stay_below_the_root(path, where):
    assert files.target(path, root="/r") == f"/r/{where}"
    assert files.target(path) == f"/{where}"


@pytest.mark.parametrize(
    ("permissions", "bits"),
    [
        *(("", 0o644), ("0600", 0o600), ("755", 0o755), ("4755", 0o755), ("1777", 0o777)),
        *(("+7", 7), ("-1", 0o7777), ("-644", 0o7134), ("40000755", 0o4755), ("-0", 0)),
    ],
)
def test_modes(permissions, bits):
    assert files.mode(permissions) == bits


@pytest.mark.parametrize("permissions", ["0o644", "888", "rw", " 644", "6_4", "99999999999", "٦"])
def test_modes_that_are_none(permissions):
    with pytest.raises(FileError, match="Unable to parse file permissions"):
        files.mode(permissions)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/file/x", "/file is not a directory"),
        ("/file/x/y", "mkdir {root}/file: not a directory"),
        ("/link/x/y", "mkdir {root}/link: file exists"),
        ("/dir", "rename {root}/cloudinit-temp"),
        ("", "rename "),
        ("/nul\0x", "open {root}/nul\0x: invalid argument"),
    ],
)
def test_files_that_cannot_be(root, path, reason):
    (root / "file").write_text("")
    (root / "dir").mkdir()
    (root / "link").symlink_to("nowhere")
    with pytest.raises(FileError) as caught:
        files.write(File(path, b"x"), [].append, root=str(root))
    assert reason.format(root=root) in str(caught.value).replace(f"{root}/file is", "/file is")
    assert sorted(item.name for item in root.iterdir()) == ["dir", "file", "link"]


def test_a_link_is_replaced_and_not_followed(root):
    (root / "victim").write_text("old")
    (root / "link").symlink_to("victim")
    files.write(File("/link", b"new"), [].append, root=str(root))
    assert (root / "victim").read_text() == "old"
    assert not (root / "link").is_symlink()


def test_what_a_write_would_do(root):
    file = File("/f", b"x", "0600")
    assert files.compare(file, root=str(root)) == "new"
    files.write(file, [].append, root=str(root))
    assert files.compare(file, root=str(root)) == "unchanged"
    assert files.compare(file._replace(content=b"y"), root=str(root)) == "replaced"
    assert files.compare(file._replace(permissions="0644"), root=str(root)) == "replaced"
    assert "Unable to parse" in files.compare(file._replace(permissions="x"), root=str(root))


@pytest.mark.parametrize("call", ["write_all", "os.fchmod", "os.fsync", "chown", "_rename"])
def test_a_file_is_the_old_one_or_the_new_one(root, monkeypatch, call):
    """Whatever step the end comes at."""
    (root / "f").write_text("old")

    def end(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"coreos_py.cloudinit.files.{call}", end)
    with pytest.raises(KeyboardInterrupt):
        files.write(File("/f", b"new", owner="0"), [].append, root=str(root))
    monkeypatch.undo()
    assert {item.name: item.read_text() for item in root.iterdir()} == {"f": "old"}


def test_masks(root):
    path = root / "etc/u.service"
    files.mask(str(path))
    assert str(path.readlink()) == "/dev/null"
    files.mask(str(path))
    log = []
    files.unmask(str(path), log.append)
    assert not path.is_symlink()
    files.unmask(str(path), log.append)
    path.write_text("[Service]")
    files.unmask(str(path), log.append)
    assert log == [f"{path} is not null or empty, refusing to unmask"]
    files.mask(str(path))
    assert str(path.readlink()) == "/dev/null"
    path.unlink()
    path.write_text("")
    files.unmask(str(path), log.append)
    assert not path.exists()


def test_what_a_mask_takes_the_place_of(root):
    for name in ("empty", "full"):
        (root / name).mkdir()
    (root / "full/x").write_text("")
    (root / "loop").symlink_to("loop")
    for name in ("empty", "loop"):
        files.mask(f"{root}/{name}")
        assert str((root / name).readlink()) == "/dev/null"
    with pytest.raises(FileError, match=f"^remove {root}/full: directory not empty$"):
        files.mask(f"{root}/full")
    (root / "toloop").symlink_to("self/x")
    (root / "self").symlink_to("self")
    with pytest.raises(FileError, match=f"^stat {root}/toloop: too many levels of symbolic links$"):
        files.unmask(f"{root}/toloop", [].append)
    with pytest.raises(FileError, match=f"^read {root}/full: is a directory$"):
        files.read(f"{root}/full")


def test_a_link_to_nowhere_is_not_masked(root):
    path = root / "u.service"
    path.symlink_to("nowhere")
    with pytest.raises(FileError, match=f"symlink /dev/null {path}: file exists"):
        files.mask(str(path))
    files.unmask(str(path), [].append)
    assert str(path.readlink()) == "nowhere"
