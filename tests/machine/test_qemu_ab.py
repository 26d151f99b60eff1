"""Updates of a disk with two slots in qemu: whether they come up or not, a system runs in the end.

The boot selector follows the bits in the partition table; the slot that it chooses is booted by
its own kernel. Server and lock are on the host.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import machines as nspawn
from tests.support import qemu
from tests.support.image import POSTINST, Images, bits
from tests.support.procs import EtcdCluster, eventually
from tests.support.qemu import Qemu
from tests.support.update_site import COMPLETE, CUSTOM, FAILED, INSTALLED, UPDATE_S, Site

pytestmark = [pytest.mark.machine, pytest.mark.timeout(3600)]

UNITS = "lib/systemd/system"
HANGS = "#!/bin/sh\nexec sleep 1000000\n"
WIPE = 'dd if=/dev/zero of="$1" bs=1024 seek=1 count=1 conv=notrunc 2>&1\n'
UNIT = "[Unit]\nDescription=Of no use\n[Service]\nType=oneshot\nExecStart=/bin/false\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if reason := nspawn.why_not() or qemu.why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("site")
    with EtcdCluster(folder, 1) as cluster, Site(folder, cluster) as site:
        yield site


@pytest.fixture(scope="module")
def images(tmp_path_factory, site, archive):
    folder = tmp_path_factory.mktemp("images")
    (folder / "update.conf").write_text(site.update_conf)
    return Images(folder, archive, options=("-c", str(folder / "update.conf")))


def boot(images: Images, name: str) -> Qemu:
    """A machine on a disk of its own, off yet."""
    return Qemu(
        images.new_disk(name),
        kernel=images.kernel,
        selector=images.selector,
        append="coreos.watchdog=45",
    )


def test_an_update_comes_up_whatever_happens_on_the_way(images, site):
    with boot(images, "good.img") as machine:
        machine.wait_started("a")
        site.machine_id = machine.run("cat /etc/machine-id").strip()

        # Nothing is installed that is not signed, and unharmed.
        small = images.small("1.1.0", {})
        site.publish("1.1.0", images.payload(small, key=images.other_key()))
        machine.look()
        site.wait_event(3, 0, CUSTOM + 18)
        machine.wait_idle()
        site.publish("1.2.0", images.payload(images.small("1.2.0", {})), flip=True)
        machine.look()
        site.wait_event(3, 0, CUSTOM + 29)
        machine.wait_idle()
        assert bits(machine.disk) == {"a": (1, 0, 1), "b": (0, 0, 0)}

        # The power goes in the middle of the download.
        payload = images.payload(images.version("2.0.0"))
        size = payload.stat().st_size
        site.gate.close_after(size // 2)
        site.publish("2.0.0", payload)
        machine.look()
        site.gate.wait_reached()
        machine.run("sync")  # else what it has may still be in its memory alone
        machine.cut_power()
        site.gate.open()

        # And again while the other slot is written. What had been downloaded was not in vain.
        machine.power_on()
        machine.wait_started("aa")
        machine.look()
        site.wait_event(14, 1)
        machine.cut_power()
        assert b"Range: bytes=" in b"".join(site.gate.requests)
        assert bits(machine.disk)["a"] == (1, 0, 1)

        # Others may reboot first.
        site.locksmithctl("lock", "somebody")
        machine.power_on()
        machine.wait_started("aaa")
        machine.look()
        site.wait_event(*INSTALLED)
        assert bits(machine.disk) == {"a": (1, 0, 1), "b": (2, 1, 0)}
        log = "journalctl -o cat --no-pager -u locksmithd"
        machine.run(f"until {log} | grep -q 'semaphore is at 0'; do sleep 0.5; done")
        assert machine.started == "aaa"
        site.locksmithctl("unlock", "somebody")

        # It reboots under the lock into the new version, and tells so.
        machine.wait_started("aaab")
        assert site.holders == [site.machine_id]
        assert bits(machine.disk) == {"a": (1, 0, 1), "b": (2, 0, 0)}
        eventually(lambda: site.holders == [], within_s=qemu.BOOT_S)
        assert "2.0.0" in machine.run("cat /usr/share/coreos/release")
        machine.look()
        eventually(lambda: site.instance["application"]["status"] == COMPLETE, within_s=UPDATE_S)
        assert site.instance["application"]["version"] == "2.0.0"
        assert bits(machine.disk) == {"a": (1, 0, 1), "b": (2, 0, 1)}
        assert machine.chosen == machine.started == "aaab"


def broken(images: Images, version: str) -> Path:
    """The payload of a version that does not come up."""
    match version:
        case "3.0.0":  # is damaged once it is installed: /usr cannot be mounted
            return images.payload(images.small(version, {"postinst": POSTINST + WIPE}))
        case "3.1.0":  # has no init: the kernel panics
            return images.payload(images.small(version, {}))
        case "3.2.0":  # has an init that hangs: nobody feeds the watchdog
            files = {"lib/systemd/systemd": HANGS}
        case _:  # has a unit that fails, and is given up before it is marked as good
            files = {
                f"{UNITS}/useless.service": UNIT,
                f"{UNITS}/multi-user.target.d/useless.conf": "[Unit]\nWants=useless.service\n",
            }
    return images.payload(images.version(version, files), old=True)


def test_what_does_not_come_up_is_given_up(images, site):
    with boot(images, "broken.img") as machine:
        machine.wait_started("a")
        site.machine_id = machine.run("cat /etc/machine-id").strip()
        started = "a"
        for count, version in enumerate(("3.0.0", "3.1.0", "3.2.0", "3.3.0"), 1):
            site.publish(version, broken(images, version))
            machine.look()
            site.wait_event(*INSTALLED, count=count)

            # It reboots, fails, and is back without anybody's help.
            started += "a" if version == "3.0.0" else "ba"
            machine.wait_started(started)
            assert machine.chosen == "a" + "ba" * count
            assert bits(machine.disk) == {"a": (1, 0, 1), "b": (2, 0, 0)}
            eventually(lambda: site.holders == [], within_s=qemu.BOOT_S)
            machine.look()
            site.wait_event(3, 0, CUSTOM + 44, count=count)
            machine.wait_idle()
            assert site.instance["application"]["version"] == "1.0.0"
            assert site.instance["application"]["status"] == FAILED
        assert machine.console.count("Kernel panic") == 2
        assert "1.0.0" in machine.run("cat /usr/share/coreos/release")
