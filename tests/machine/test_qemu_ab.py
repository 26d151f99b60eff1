"""Updates of a disk with two slots in qemu: whether they come up or not, a system runs in the end.

The boot selector follows the bits in the partition table; the slot that it chooses is booted by
its own kernel. Server and lock are on the host. A boot takes half a minute, so one machine goes
through all of this; each test begins with the slot that the one before has left it in.
"""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from tests.support import machines as nspawn
from tests.support import qemu
from tests.support.image import Images, bits, freeze_kernel, replace_init, unmountable
from tests.support.procs import EtcdCluster, eventually
from tests.support.qemu import Qemu
from tests.support.update_site import COMPLETE, CUSTOM, FAILED, INSTALLED, UPDATE_S, Site

pytestmark = [pytest.mark.machine, pytest.mark.timeout(3600)]

UNITS = "lib/systemd/system"
HANGS = "#!/bin/sh\nexec sleep 1000000\n"
UNIT = "[Unit]\nDescription=Of no use\n[Service]\nType=oneshot\nExecStart=/bin/false\n"
UNHEALTHY: dict[str, str | bytes] = {
    f"{UNITS}/useless.service": UNIT,
    f"{UNITS}/multi-user.target.d/useless.conf": "[Unit]\nWants=useless.service\n",
}
PAYLOAD_BYTES = 2 << 20  # of something that is in no other version
ARRIVED = f"[ $(stat -c %s /var/lib/update_engine/payload) -ge {PAYLOAD_BYTES // 8} ]"
RELEASE = "cat /usr/share/coreos/release"
OTHER = {"a": "b", "b": "a"}
GOOD, TO_TRY, TRIED = (1, 0, 1), (2, 1, 0), (2, 0, 0)
FELL_BACK = (3, 0, CUSTOM + 44)
WATCHDOG_S = 60
PANIC = "Kernel panic"
# Whether a slot that comes to a bad end gets mounted before, and what ends it.
ENDS = {
    "hangs": (True, "softdog: Initiating system reboot"),
    "freezes": (False, "watched by wdat_wdt"),
    "panics": (True, PANIC),
    "unmountable": (False, PANIC),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if reason := nspawn.why_not() or qemu.why_not(firmware=True):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("site")
    with EtcdCluster(folder, 1) as cluster, Site(folder, cluster) as site:
        yield site


@pytest.fixture(scope="module")
def images(tmp_path_factory, site, archive):
    folder = tmp_path_factory.mktemp("images")
    (folder / "update.conf").write_text(site.update_conf)
    options = ("-c", str(folder / "update.conf"), "-l", qemu.APPEND)
    return Images(folder, archive, options=options)


@pytest.fixture(scope="module")
def machine(images, site):
    """The machine that all of it happens to, running."""
    disk = images.new_disk("machine.img")
    with Qemu(
        disk,
        kernel=images.kernel,
        selector=images.selector,
        append="coreos.net=10.0.2.77/24,10.0.2.2",
    ) as machine:
        machine.wait_started("a")
        site.machine_id = machine.run("cat /etc/machine-id").strip()
        yield machine


def test_nothing_is_installed_that_is_not_signed_and_whole(images, site, machine):
    before = bits(machine.disk)
    site.publish("1.1.0", images.payload(images.small("1.1.0", {}), key=images.other_key()))
    machine.look()
    site.wait_event(3, 0, CUSTOM + 18)
    machine.wait_idle()
    site.publish("1.2.0", images.payload(images.small("1.2.0", {})), flip=True)
    machine.look()
    site.wait_event(3, 0, CUSTOM + 29)
    machine.wait_idle()
    assert bits(machine.disk) == before


def test_an_update_comes_up_whatever_happens_on_the_way(images, site, machine):
    # The power goes in the middle of the download.
    noise = random.Random(1).randbytes(PAYLOAD_BYTES)
    payload = images.payload(images.version("2.0.0", {"share/noise": noise}), old=images.usr)
    site.gate.close_after(payload.stat().st_size // 2)
    site.publish("2.0.0", payload)
    machine.look()
    site.gate.wait_reached()
    # Part of it has to be on the disk, not only on its way to the machine or in its memory.
    machine.run(f"until {ARRIVED}; do sleep 0.2; done; sync")
    machine.cut_power()
    site.gate.open()

    # And again while the other slot is written. What had been downloaded was not in vain.
    machine.power_on()
    machine.wait_started("aa")
    machine.look()
    site.wait_event(14, 1)
    machine.cut_power()
    assert b"Range: bytes=" in b"".join(site.gate.requests)
    assert bits(machine.disk)["a"] == GOOD

    # Others may reboot first.
    site.locksmithctl("lock", "somebody")
    machine.power_on()
    machine.wait_started("aaa")
    machine.look()
    site.wait_event(*INSTALLED)
    assert bits(machine.disk) == {"a": GOOD, "b": TO_TRY}
    log = "journalctl -o cat --no-pager -u locksmithd"
    machine.run(f"until {log} | grep -q 'semaphore is at 0'; do sleep 0.5; done")
    assert machine.started == "aaa"
    site.locksmithctl("unlock", "somebody")

    # It reboots under the lock into the new version, and tells so.
    machine.wait_started("aaab")
    assert site.holders == [site.machine_id]
    assert bits(machine.disk) == {"a": GOOD, "b": TRIED}
    eventually(lambda: site.holders == [], within_s=qemu.BOOT_S)
    assert "2.0.0" in machine.run(RELEASE)
    machine.look()
    eventually(lambda: site.instance["application"]["status"] == COMPLETE, within_s=UPDATE_S)
    assert site.instance["application"]["version"] == "2.0.0"
    assert bits(machine.disk) == {"a": GOOD, "b": (2, 0, 1)}
    assert machine.chosen == machine.started == "aaab"


def tries(machine: Qemu) -> dict[str, tuple[int, ...]]:
    """The bits but for the priority, which changes when a slot is marked as good once more."""
    return {letter: slot[1:] for letter, slot in bits(machine.disk).items()}


def worse(images: Images, disk: Path, letter: str) -> Qemu:
    """A machine whose slot that is tried next is not even able to fail a check; off yet."""
    more = f"coreos.watchdog={WATCHDOG_S}"
    match disk.stem:
        case "unmountable":  # by way of a firmware and its boot loader, which know no slots
            unmountable(disk, letter)
            return Qemu(disk)
        case "panics":
            replace_init(disk, letter, "no program\n")
            more = "coreos.debug=1"
        case "hangs":  # nobody feeds the kernel's watchdog
            replace_init(disk, letter, HANGS)
        case "freezes":  # nor is there a kernel that could look
            freeze_kernel(disk, letter)
    return Qemu(
        disk,
        kernel=images.kernel,
        selector=images.selector,
        append=more,
        watchdog=disk.stem == "freezes",
    )


def test_what_does_not_come_up_is_given_up(images, site, machine):
    # The machine is sent a version with a unit that fails.
    machine.look()
    machine.wait_idle()
    here, so_far = machine.started[-1], machine.started
    there, runs = OTHER[here], machine.run(RELEASE)
    old = images.usr if here == "a" else images.usr.with_name("usr-2.0.0.img")
    events = site.events
    site.locksmithctl("lock", "somebody")
    site.publish("3.0.0", images.payload(images.version("3.0.0", UNHEALTHY), old=old))
    machine.look()
    site.wait_event(*INSTALLED, count=events.count(INSTALLED) + 1)
    site.rollerd.open_group(policy_updates_enabled=False)  # once is enough

    # What becomes of it if that version is worse, or something happens to it before the reboot?
    machine.cut_power()
    site.locksmithctl("unlock", "somebody")
    disks = [images.new_disk(f"{name}.img", machine.disk) for name in ENDS]
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(worse(images, disk, there)) for disk in disks]

        # It falls back without anybody's help, before that version is marked as good; and the
        # server is told.
        machine.power_on()
        machine.wait_started(so_far + there + here)
        assert machine.chosen == machine.started
        eventually(lambda: tries(machine) == {here: GOOD[1:], there: TRIED[1:]})
        machine.look()
        site.wait_event(*FELL_BACK)
        assert machine.run(RELEASE) == runs
        application = site.instance["application"]
        assert application["status"] == FAILED
        assert application["version"] in runs

        # Nor does it stay down in any other way, and the server is told each time.
        for count, (other, (mounts, said)) in enumerate(
            zip(others, ENDS.values(), strict=True), start=2
        ):
            other.wait_back(here)
            # A slow machine may be reset once more, by the watchdog.
            assert other.chosen.rstrip(here) == there
            assert other.started.rstrip(here) == (there if mounts else "")
            assert said in other.console
            assert other.console.count("Kernel panic") == (said == PANIC)
            other.look()
            site.wait_event(*FELL_BACK, count=count)
            assert other.run(RELEASE) == runs
            assert tries(other) == {here: GOOD[1:], there: TRIED[1:]}
            other.cut_power()
    assert site.events.count(FELL_BACK) == 1 + len(ENDS)
