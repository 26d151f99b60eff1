"""The same disk under OVMF and an unmodified systemd-boot, which counts boots itself.

The OEM's hook gives a new version an entry that may be tried once; systemd's bless-boot makes it
one that counts no more.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support import machines as nspawn
from tests.support import qemu
from tests.support.image import Images
from tests.support.procs import EtcdCluster, eventually
from tests.support.qemu import Qemu
from tests.support.update_site import COMPLETE, FAILED, INSTALLED, UPDATE_S, Site

pytestmark = [pytest.mark.machine, pytest.mark.timeout(3600)]


@pytest.fixture
def site(tmp_path):
    if reason := nspawn.why_not() or qemu.why_not(firmware=True):
        pytest.skip(reason)
    with EtcdCluster(tmp_path, 1) as cluster, Site(tmp_path, cluster) as site:
        yield site


def entries(disk: Path) -> list[str]:
    """The boot loader's entries on the EFI system partition."""
    words = ["mdir", "-b", "-i", f"{disk}@@{4096 * 512}", "::/loader/entries"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return sorted(line.rpartition("/")[2] for line in done.stdout.split())


def test_it_tries_a_new_version_once(tmp_path, site, archive):
    (tmp_path / "update.conf").write_text(site.update_conf)
    for folder in ("over", "oem"):
        (tmp_path / folder / "share").mkdir(parents=True)
        (tmp_path / folder / "share" / "told").write_text(f"{folder}\n")
    options = ["-b", "-l", qemu.APPEND, "-c", str(tmp_path / "update.conf")]
    options += ["-a", str(tmp_path / "over"), "-e", str(tmp_path / "oem"), "-s", "240"]
    images = Images(tmp_path, archive, options=options)
    with Qemu(images.disk) as machine:
        machine.wait_started("a")
        assert entries(machine.disk) == ["slot-a.conf"]
        site.machine_id = machine.run("cat /etc/machine-id").strip()
        assert machine.run("cat /usr/share/told /usr/share/oem/share/told") == "over\noem\n"

        site.publish("2.0.0", images.payload(images.version("2.0.0"), old=images.usr))
        machine.look()
        site.wait_event(*INSTALLED)
        machine.wait_started("ab")
        assert "2.0.0" in machine.run("cat /usr/share/coreos/release")
        eventually(
            lambda: entries(machine.disk) == ["slot-a.conf", "slot-b.conf"], within_s=qemu.BOOT_S
        )
        eventually(lambda: site.holders == [], within_s=qemu.BOOT_S)
        machine.look()
        eventually(lambda: site.instance["application"]["status"] == COMPLETE, within_s=UPDATE_S)

        # Now the other way round, and that one does not come up.
        site.publish("3.0.0", images.payload(images.small("3.0.0", {})))
        machine.look()
        site.wait_event(*INSTALLED, count=2)
        machine.wait_started("abab")
        assert entries(machine.disk) == ["slot-a+0-1.conf", "slot-b.conf"]
        assert machine.console.count("Kernel panic") == 1
        assert "2.0.0" in machine.run("cat /usr/share/coreos/release")
        eventually(lambda: site.holders == [], within_s=qemu.BOOT_S)
        # The bits do not tell that it was tried; the server sees it come back with the old version.
        machine.look()
        eventually(lambda: site.instance["application"]["status"] == FAILED, within_s=UPDATE_S)
