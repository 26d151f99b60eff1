"""The packaged systemd units: what they say, and how they get into place."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from coreos_py.base.errors import CoreosError
from coreos_py.suite import units as work

ROOT = Path(__file__).resolve().parents[3]


def test_every_unit_is_listed():
    present = {path.name for path in (ROOT / "coreos_py" / "units").iterdir()}
    assert present - {"__init__.py", "__pycache__"} == set(work.UNITS)


def _parsed(name):
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str
    parser.read_string(work.text(name, bin_dir="/opt/bin"))
    return parser


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("etcd", "etcd"),
        ("etcd2", "etcd2"),
        ("fleet", "fleetd"),
        ("discovery", "etcd-discovery"),
        ("rollerd", "rollerd"),
    ],
)
def test_daemons(name, command):
    service = _parsed(f"{name}.service")["Service"]
    assert service["Type"] == "notify"
    assert service["ExecStart"] == f"/opt/bin/{command}"
    assert service["Restart"] == "always"
    assert service["EnvironmentFile"] == f"-/etc/default/{name}"
    assert service["CacheDirectory"]


def test_the_socket_is_where_fleetctl_looks():
    socket = _parsed("fleet.socket")["Socket"]
    assert socket["ListenStream"] == "/run/fleet.sock"
    assert socket["SocketMode"] == "0660"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("system-cloudinit@.service", "--from-file=%f"),
        ("user-cloudinit@.service", "--from-file=%f"),
        ("user-cloudinit-proc-cmdline.service", "--from-proc-cmdline"),
        ("user-configdrive.service", "--from-configdrive=/media/configdrive"),
        ("user-configvirtfs.service", "--from-configdrive=/media/configvirtfs"),
        ("user-config-ovfenv.service", "--from-vmware-ovf-env=/media/ovfenv/ovf-env.xml"),
    ],
)
def test_what_applies_user_data(name, words):
    parsed = _parsed(name)
    service = parsed["Service"]
    assert service["ExecStart"] == f"/opt/bin/coreos-cloudinit {words}"
    assert service["Type"] == "oneshot"
    assert service["RemainAfterExit"] == "yes"
    assert service["TimeoutSec"] == "10min"
    if name.startswith("user-"):
        # A user's own units start after this target; $private_ipv4 comes from that file.
        assert parsed["Unit"]["Before"] == "user-config.target"
        assert "system-config.target" in work.text(name, bin_dir="/opt/bin")
        assert service["EnvironmentFile"] == "-/etc/environment"
    else:
        assert parsed["Unit"]["Before"] == "system-config.target"


def test_drives_are_mounted_before_they_are_read():
    for mount, reader in (
        ("media-configdrive.mount", "user-configdrive.service"),
        ("media-configvirtfs.mount", "user-configvirtfs.service"),
        ("media-ovfenv.mount", "user-config-ovfenv.service"),
    ):
        unit = _parsed(mount)
        assert unit["Unit"]["Wants"] == unit["Unit"]["Before"] == reader
        assert unit["Mount"]["Where"] in work.text(reader, bin_dir="/usr/bin")
        assert f"After={mount}\n" in work.text(reader, bin_dir="/usr/bin")


def test_no_unit_of_ours_waits_for_user_data():
    """It may start any of them, and waits until they run."""
    for name in ("etcd", "etcd2", "fleet", "locksmithd", "update-engine", "flanneld"):
        text = work.text(f"{name}.service", bin_dir="/opt/bin")
        assert "config.target" not in text
        assert "cloudinit" not in text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_understands_them(tmp_path):
    for command in (
        "etcd",
        "etcd2",
        "etcd-discovery",
        "fleetd",
        "locksmithd",
        "rollerd",
        "update_engine",
        "update_engine_stub",
        "flanneld",
        "coreos-cloudinit",
    ):
        (tmp_path / command).write_text("#!/bin/sh\n")
        (tmp_path / command).chmod(0o755)
    for name in work.UNITS:
        text = work.text(name, bin_dir=str(tmp_path))
        kept = [line for line in text.splitlines() if not line.startswith("Documentation=")]
        (tmp_path / name).write_text("\n".join(kept) + "\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / name for name in work.UNITS)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    about_ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert about_ours == []


def install(directory, names=work.UNITS, *, force=False, bin_dir="/usr/bin"):
    said = []
    refused = work.install(str(directory), names, bin_dir=bin_dir, force=force, say=said.append)
    return said, refused


def test_twice_is_once(tmp_path):
    said, refused = install(tmp_path)
    assert len(said) == len(work.UNITS)
    assert refused == []
    assert sorted(os.listdir(tmp_path)) == sorted(work.UNITS)
    assert (tmp_path / "etcd2.service").stat().st_mode & 0o777 == 0o644
    assert install(tmp_path) == ([], [])
    services = [name for name in work.UNITS if name.endswith(".service")]
    # The sockets stay as they are.
    assert len(install(tmp_path, bin_dir="/usr/local/bin")[0]) == len(services)


def test_foreign_units_are_left_alone(tmp_path):
    (tmp_path / "fleet.service").write_text("[Service]\nExecStart=/theirs\n")
    (tmp_path / "etcd.service").symlink_to("/dev/null")
    (tmp_path / "etcd2.service").symlink_to("/nonexistent/unit")
    _, refused = install(tmp_path)
    assert [path.rsplit("/", 1)[1] for path, _ in refused] == [
        "etcd.service",
        "etcd2.service",
        "fleet.service",
    ]
    work.uninstall(str(tmp_path), work.UNITS, say=lambda _: None)
    assert sorted(os.listdir(tmp_path)) == ["etcd.service", "etcd2.service", "fleet.service"]
    assert install(tmp_path, force=True)[1] == []
    work.uninstall(str(tmp_path), work.UNITS, say=lambda _: None)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("bin_dir", ["relative", "/a b", '/q"', "/%", "/a\nb", ""])
def test_paths_that_systemd_cannot_take(bin_dir):
    with pytest.raises(CoreosError):
        work.text("etcd.service", bin_dir=bin_dir)


def test_unknown_unit(tmp_path):
    with pytest.raises(CoreosError, match="no unit is called nosuch"):
        install(tmp_path, ["etcd.service", "nosuch"])
    assert os.listdir(tmp_path) == []


POLICIES = {"update-engine.service": ("com.example.conf", "<busconfig/>\n")}


@pytest.mark.parametrize(
    ("units", "bus"),
    [
        ("usr/lib/systemd/system", "usr/share/dbus-1/system.d"),
        ("lib/systemd/system", "usr/share/dbus-1/system.d"),
        ("usr/local/lib/systemd/system", "etc/dbus-1/system.d"),
        ("etc/systemd/system", "etc/dbus-1/system.d"),
    ],
)
def test_the_bus_gets_its_policy(tmp_path, units, bus):
    (tmp_path / units).mkdir(parents=True)
    said = []
    where = str(tmp_path / units)
    names = ("update-engine.service", "locksmithd.service")
    options = {"say": said.append, "policies": POLICIES}
    assert work.install(where, names, bin_dir="/usr/bin", **options) == []
    policy = tmp_path / bus / "com.example.conf"
    assert policy.read_text() == f"{work.POLICY_MARK}\n<busconfig/>\n"
    assert len(said) == 3
    assert work.install(where, names, bin_dir="/usr/bin", **options) == []
    assert len(said) == 3
    work.uninstall(where, names, **options)
    assert not policy.exists()
    policy.write_text("<busconfig>theirs</busconfig>\n")
    refused = work.install(where, names, bin_dir="/usr/bin", **options)
    assert [path for path, _ in refused] == [str(policy)]
    work.uninstall(where, names, **options)
    assert policy.exists()


def test_other_directories_and_units_have_no_policy(tmp_path):
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    for where, names in (
        (tmp_path, work.UNITS),
        (tmp_path / "etc/systemd/system", ["etcd.service"]),
    ):
        options = {"bin_dir": "/usr/bin", "policies": POLICIES, "say": lambda _: None}
        assert work.install(str(where), names, **options) == []
    assert list(tmp_path.rglob("com.*")) == []
