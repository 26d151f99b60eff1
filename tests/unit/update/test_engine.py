"""The engine on a disk image, against a server that breaks things: what is reported, what is left.

Everything is real but the clock's patience and the mount that postinst needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

import pytest

from coreos_py.omaha.codes import ErrorCode
from coreos_py.update import engine as engines
from coreos_py.update import prefs as names
from coreos_py.update.attempt import Operation
from coreos_py.update.disk import Area
from coreos_py.update.payload import manifest as head
from coreos_py.update.payload.manifest import Info
from coreos_py.update.slots import Slots
from tests.support import payloads
from tests.support.awaiting import until
from tests.support.slots import bits
from tests.support.update_machine import Machine
from tests.support.update_server import CUSTOM, UpdateServer

IMAGE = payloads.image(11, blocks=200)
KERNEL = b"a kernel" * 1000
PAYLOAD = payloads.full(IMAGE, kernel=KERNEL)
GOOD_RUN = [(13, 1, 0), (14, 1, 0), (3, 1, 0)]


@pytest.fixture
def server():
    with UpdateServer(PAYLOAD) as running:
        yield running


@pytest.fixture
def machine(tmp_path, server):
    return Machine(tmp_path, server.url)


def test_an_update_from_start_to_good(server, machine):
    before = machine.content(3)
    engine = machine.check()
    assert engine.attempt.status.operation is Operation.NEED_REBOOT
    assert engine.attempt.status.new_version == "2.0.0"
    assert server.events == GOOD_RUN
    assert server.previous == ["0.0.0.0"]
    assert machine.content(4)[: len(IMAGE)] == IMAGE
    assert machine.content(3) == before
    kernel = machine.root / "boot/coreos/vmlinuz-b"
    assert kernel.read_bytes() == KERNEL
    assert machine.ran == [("USR-B", [f"KERNEL={kernel}"])]
    assert bits(machine.disk) == {3: (1, 0, 1), 4: (2, 1, 0)}
    # Each is announced once, but for the progress.
    assert [
        operation
        for operation, before in zip(machine.statuses, [None, *machine.statuses], strict=False)
        if operation is not Operation.DOWNLOADING or operation is not before
    ] == [
        Operation.CHECKING,
        Operation.AVAILABLE,
        Operation.DOWNLOADING,
        Operation.FINALIZING,
        Operation.NEED_REBOOT,
    ]
    assert not (machine.root / "var/lib/update_engine/payload").exists()
    # While the reboot is due, there are only pings; each says so again.
    machine.statuses.clear()
    engine = machine.check(on_demand=False)
    assert machine.statuses == [Operation.NEED_REBOOT]
    assert (server.pings, len(server.checks)) == (1, 1)
    assert engine.attempt.status == (0, 0.0, Operation.NEED_REBOOT, "0.0.0", 0)
    # The new version comes up, is marked, and says where it came from.
    assert machine.boot() == 4
    engine = machine.check()
    assert bits(machine.disk) == {3: (1, 0, 1), 4: (2, 0, 1)}
    assert engine.attempt.status.operation is Operation.IDLE
    assert engine.attempt.status.last_checked > 0
    assert server.previous == ["0.0.0.0", "1.0.0"]
    machine.check()
    assert server.previous == ["0.0.0.0", "1.0.0", ""]
    client = server.checks[-1].apps[0].attributes
    assert client["version"] == "2.0.0"
    assert client["alephversion"] == "1.0.0"
    assert (client["track"], client["board"], client["machineid"]) == ("beta", "amd64-usr", "a1b2")


def test_a_version_that_does_not_come_up(server, machine):
    machine.check()
    assert machine.boot() == 4  # it hangs, and the watchdog resets
    assert machine.boot() == 3
    assert bits(machine.disk) == {3: (1, 0, 1), 4: (2, 0, 0)}
    engine = machine.check(on_demand=False)
    assert server.previous[-1] == "1.0.0"
    rollback, deferred = server.events[3:]
    assert rollback == (3, 0, CUSTOM | ErrorCode.ROLLBACK)
    # And it is not tried again in a tight loop.
    assert deferred == (3, 9, CUSTOM | ErrorCode.OMAHA_UPDATE_DEFERRED_FOR_BACKOFF)
    assert engine.attempt.status.operation is Operation.IDLE
    assert bits(machine.disk)[3] == (2, 0, 1)
    machine.check(on_demand=False)
    assert server.previous[-1] == ""
    # Somebody who asks for it gets it.
    engine = machine.check(on_demand=True)
    assert engine.attempt.status.operation is Operation.NEED_REBOOT
    assert bits(machine.disk)[4][1:] == (1, 0)


def test_no_update(server, machine):
    server.version = "1.0.0"
    engine = machine.check()
    assert engine.attempt.status.operation is Operation.IDLE
    assert server.events == []
    assert machine.statuses == [Operation.CHECKING, Operation.IDLE]


def _metadata(data):
    return 20 + int.from_bytes(data[12:20], "big")


def _flip(data, at):
    at %= len(data)
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


OTHER = payloads.full(IMAGE, kernel=KERNEL, key="")
# Another image's signature is no good here.
STRANGE = PAYLOAD[:-264] + payloads.full(IMAGE[:4096])[-264:]
FLIPPED = PAYLOAD[:3000] + bytes((PAYLOAD[3000] ^ 1,)) + PAYLOAD[3001:]
BAD_MANIFEST = PAYLOAD[:24] + bytes((PAYLOAD[24] ^ 0xFF,)) + PAYLOAD[25:]

FAULTS = {
    # name: (what to break, error code, url index afterwards, failure count)
    "unknown status": (lambda s: s.answers.append((200, b'<response><app><updatecheck status="x"/>'
                                                  b"</app></response>")), 34, None, None),
    "no updatecheck": (lambda s: s.answers.append((200, b"<response><app/></response>")),
                       34, None, None),
    "empty body": (lambda s: s.answers.append((200, b"")), 30, None, None),
    "broken XML": (lambda s: s.answers.append((200, b"<response>")), 31, None, None),
    "HTTP 500": (lambda s: s.answers.append((500, b"")), 2500, None, None),
    "HTTP 503": (lambda s: s.answers.append((503, b"")), 2503, None, None),
    "payload 404": (lambda s: s.statuses.append(404), 9, "0", "1"),
    "wrong sha256": (lambda s: setattr(s, "sha256", "A" * 43 + "="), 10, "1", "0"),
    "no sha256": (lambda s: setattr(s, "sha256", "HASH1234="), 10, "1", "0"),
    "cut short on the server": (lambda s: setattr(s, "payload", PAYLOAD[:-300]), 11, "1", "0"),
    "empty on the server": (lambda s: setattr(s, "payload", b""), 11, "1", "0"),
    "size too large": (lambda s: setattr(s, "size", s.size + 1), 11, "1", "0"),
    "size too small": (lambda s: setattr(s, "size", s.size - 1), 11, "1", "0"),
    "unsigned": (lambda s: s.offer(OTHER), 17, "1", "0"),
    "not CrAU": (lambda s: setattr(s, "payload", b"<html>404</html>" * 100), 21, "1", "0"),
    "a byte flipped": (lambda s: setattr(s, "payload", FLIPPED), 29, "1", "0"),
    "bad manifest": (lambda s: setattr(s, "payload", BAD_MANIFEST), 23, "1", "0"),
    "signed by another": (lambda s: s.offer(STRANGE), 18, "1", "0"),
    "signature damaged": (lambda s: s.offer(_flip(PAYLOAD, -9)), 18, "1", "0"),
    "signature's frame damaged": (lambda s: s.offer(_flip(PAYLOAD, -264)), 18, "1", "0"),
    "data damaged, and announced so": (lambda s: s.offer(_flip(PAYLOAD, 3000)), 29, "1", "0"),
    "version damaged": (lambda s: s.offer(_flip(PAYLOAD, 11)), 45, "1", "0"),
    "length damaged": (lambda s: s.offer(_flip(PAYLOAD, 13)), 32, "1", "0"),
    "cut for good": (lambda s: s.cut_at.extend([0] * 30), 9, "0", "1"),
}  # fmt: skip


NOTHING_CAME = ("payload 404", "empty on the server", "no sha256", "cut for good")


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_faults_have_their_codes(server, machine, name):
    breaks, code, index, failures = FAULTS[name]
    breaks(server)
    server.urls = 2
    before = Path(machine.disk).read_bytes()
    engine = machine.check()
    assert server.events[-1] == (3, 0, CUSTOM | code)
    assert len(server.ranges) <= 1
    assert engine.attempt.status.operation is Operation.IDLE
    assert engine.attempt.status[3:] == ("0.0.0", 0)
    assert machine.statuses[-2:] == [Operation.REPORTING_ERROR, Operation.IDLE]
    if index is not None:
        assert machine.pref(names.URL_INDEX) == index
        assert machine.pref(names.URL_FAILURES) == failures
        # Where any byte of the payload came, and was wrong, the kind of payload is blamed as well.
        came = Operation.DOWNLOADING in machine.statuses
        assert came == (name not in NOTHING_CAME)
        if came and code != ErrorCode.DOWNLOAD_TRANSFER_ERROR:
            assert machine.pref(names.DELTA_FAILURES) == "1"
    # Nothing of the other slot was touched; only the running one was marked as good.
    assert bits(machine.disk) == {3: (1, 0, 1), 4: (0, 0, 0)}
    assert Path(machine.disk).read_bytes() == before
    assert machine.ran == []


def test_the_server_is_away(machine, server, tmp_path):
    conf = machine.root / "etc/coreos/update.conf"
    conf.write_text("SERVER=http://127.0.0.1:1/\n")
    engine = machine.check()
    assert engine.attempt.last_failure.code == 2000
    assert engine.attempt.status.operation is Operation.IDLE
    conf.write_text("SERVER=disabled\n")
    engine = machine.check()
    assert engine.attempt.last_failure is None
    conf.write_text(f"SERVER={server.url}\n")
    machine.check()
    assert server.previous == ["0.0.0.0"]  # nobody had heard it before


def test_the_second_url(server, machine):
    server.urls = 2
    server.payload = FLIPPED
    machine.check()
    server.payload = PAYLOAD
    engine = machine.check()
    assert engine.attempt.status.operation is Operation.NEED_REBOOT
    assert machine.pref(names.URL_INDEX) == "1"


def test_a_broken_transfer_goes_on(server, machine):
    server.cut_at = [1000, 2000]
    engine = machine.check()
    assert engine.attempt.status.operation is Operation.NEED_REBOOT
    assert server.ranges == ["", "bytes=1000-", "bytes=3000-"]
    assert server.events == GOOD_RUN


def test_a_server_without_ranges(server, machine):
    server.cut_at = [1000]
    server.has_ranges = False
    engine = machine.check()
    assert engine.attempt.status.operation is Operation.NEED_REBOOT
    assert machine.content(4)[: len(IMAGE)] == IMAGE


def test_a_restart_resumes(server, machine):
    for flags in (CUSTOM, CUSTOM | 1 << 30):
        server.cut_at = [2500] + [0] * 30
        machine.check()
        assert server.events[-1] == (3, 0, flags | 9)
    server.cut_at = []
    server.ranges.clear()
    engine = machine.check()
    assert engine.attempt.status.operation is Operation.NEED_REBOOT
    assert server.ranges == ["bytes=5000-"]


def test_a_damaged_spool_begins_anew(server, machine):
    server.cut_at = [9000] + [0] * 30
    machine.check()
    spool = machine.root / "var/lib/update_engine/payload"
    data = bytearray(spool.read_bytes())
    data[1000] ^= 1
    spool.write_bytes(data)
    server.cut_at = []
    server.ranges.clear()
    assert machine.check().attempt.status.operation is Operation.NEED_REBOOT
    assert server.ranges == ["bytes=9000-", ""]
    assert machine.content(4)[: len(IMAGE)] == IMAGE


@pytest.mark.parametrize(
    ("code", "operation", "other"),
    [
        (5, Operation.IDLE, (0, 0, 0)),
        (19, Operation.NEED_REBOOT, (0, 0, 0)),
    ],
)
def test_postinst(server, machine, code, operation, other):
    machine.postinst_problem = code
    for _ in range(2 if operation is Operation.IDLE else 1):
        server.events.clear()
        engine = machine.check()
        # The second time nothing is fetched, and nothing is resumed.
        assert server.events == [*GOOD_RUN[:2], (3, 0, CUSTOM | code)]
        assert engine.attempt.status.operation is operation
        assert bits(machine.disk)[4] == other
    assert server.ranges == [""]


def test_a_check_that_fails_resumes_nothing(server, machine):
    async def run():
        engine = machine.engine()
        for _ in range(2):
            server.cut_at = [100] + [0] * 30
            await engine.check(on_demand=True)
        server.answers.append((200, b""))
        await engine.check(on_demand=True)

    asyncio.run(run())
    codes = [event for event in server.events if event[1] == 0]
    assert codes == [(3, 0, CUSTOM | 9), (3, 0, CUSTOM | 1 << 30 | 9), (3, 0, CUSTOM | 30)]


def test_an_image_that_does_not_fit(server, machine):
    server.offer(payloads.full(payloads.image(3, blocks=300)))
    machine.check()
    assert server.events[-1] == (3, 0, CUSTOM | ErrorCode.DOWNLOAD_OPERATION_EXECUTION)
    assert bits(machine.disk) == {3: (1, 0, 1), 4: (0, 0, 0)}


def test_reset(server, machine):
    async def run():
        engine = machine.engine()
        await engine.check(on_demand=True)
        assert engine.reset_status()
        return engine

    engine = asyncio.run(run())
    assert engine.attempt.status.operation is Operation.IDLE
    assert not (machine.root / "run/update_engine_autoupdate_completed").exists()
    # The table is left alone; the version that comes up still says where it came from.
    assert bits(machine.disk)[4] == (2, 1, 0)
    assert machine.pref(names.PREVIOUS_VERSION) == "1.0.0"


def test_development_images_and_polling(server, machine):
    (machine.root / "root").mkdir()
    (machine.root / "root/.dev_mode").touch()
    server.version = "1.0.0"
    server.poll_interval_s = 7200
    engine = machine.check()
    assert not engine.attempt.facts.is_official
    assert engine.attempt.poll_interval_s == 7200
    server.version, server.payload = "2.0.0", FLIPPED
    machine.check()
    assert server.events[-1] == (3, 0, CUSTOM | 1 << 29 | 29)


OLD = payloads.image(31, blocks=120)
NEW = OLD[4096 * 3 :] + payloads.image(32, blocks=5)


def _fill(machine, content):
    slots = Slots(machine.disk, 3)
    area = slots.current.open(write=True)
    area.write(0, content)
    area.close()


def test_a_delta_starts_from_the_running_slot(server, machine):
    _fill(machine, OLD)
    server.offer(payloads.delta(OLD, NEW))
    assert machine.check().attempt.status.operation is Operation.NEED_REBOOT
    assert machine.content(4)[: len(NEW)] == NEW
    assert machine.content(3)[: len(OLD)] == OLD


def test_a_delta_for_another_version(server, machine):
    _fill(machine, OLD[::-1])
    server.offer(payloads.delta(OLD, NEW))
    machine.check()
    assert server.events[-1] == (3, 0, CUSTOM | ErrorCode.DOWNLOAD_STATE_INITIALIZATION)
    assert bits(machine.disk)[4] == (0, 0, 0)


@pytest.mark.parametrize(("kernel", "code"), [(b"old", 0), (b"other", 20), (None, 20)])
def test_a_kernel_that_a_delta_starts_from(tmp_path, server, kernel, code):
    manifest, at = head.decode(OTHER[20 : _metadata(OTHER)]), _metadata(OTHER)
    info = Info(3, hashlib.sha256(b"old").digest())
    kernels = (manifest.procedures[0]._replace(old_info=info),)
    server.offer(head.head(head.encode(manifest._replace(procedures=kernels))) + OTHER[at:])
    machine = Machine(tmp_path, server.url, key=False)
    if kernel is not None:
        (machine.root / "boot/coreos/vmlinuz-a").write_bytes(kernel)
    machine.check()
    assert server.events[-1] == ((3, 0, CUSTOM | code) if code else GOOD_RUN[-1])
    assert bits(machine.disk)[4] == ((0, 0, 0) if code else (2, 1, 0))


def test_without_a_public_key_the_digest_decides(tmp_path, server):
    server.offer(OTHER)
    machine = Machine(tmp_path, server.url, key=False)
    assert machine.check().attempt.status.operation is Operation.NEED_REBOOT


def test_a_key_that_is_none(server, machine):
    key = machine.root / "usr/share/update_engine/update-payload-key.pub.pem"
    key.write_text("no key")
    machine.check()
    code = ErrorCode.DOWNLOAD_PAYLOAD_PUB_KEY_VERIFICATION
    assert server.events[-1] == (3, 0, CUSTOM | code)


def test_no_place_for_the_kernel(server, machine):
    (machine.root / "boot/coreos").rmdir()
    machine.check()
    assert server.events[-1] == (3, 0, CUSTOM | ErrorCode.KERNEL_DEVICE_OPEN_ERROR)
    assert bits(machine.disk)[4] == (0, 0, 0)


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, ErrorCode.NEW_PCR_POLICY_HTTP)])
def test_the_policy_of_the_new_version(server, machine, status, code):
    server.offer(payloads.full(IMAGE, kernel=KERNEL, pcr_policy=b"a zip"))
    conf = machine.root / "etc/coreos/update.conf"
    conf.write_text(f"SERVER={server.url}\nPCR_POLICY_SERVER={server.base}/policy\n")
    server.policy_status = status
    machine.check()
    assert server.policies == [("application/octet-stream", b"a zip")]
    if code:
        assert server.events[-1] == (3, 0, CUSTOM | code)
    else:
        kernel = machine.root / "boot/coreos/vmlinuz-b"
        policy = machine.root / "var/lib/update_engine/pcrs-b.zip"
        assert machine.ran == [("USR-B", [f"KERNEL={kernel}", f"PCR_POLICY={policy}"])]
        assert policy.read_bytes() == b"a zip"


def test_a_full_disk(server, machine, monkeypatch):
    real = os.fstatvfs

    def full(fd):
        return type("Room", (), {"f_bavail": 1, "f_frsize": real(fd).f_frsize})

    monkeypatch.setattr(os, "fstatvfs", full)
    machine.check()
    assert server.events[-1] == (3, 0, CUSTOM | ErrorCode.DOWNLOAD_WRITE)
    assert server.ranges == []


def test_what_was_written_is_not_what_is_read(server, machine, monkeypatch):
    real = Area.read

    def read(self, offset, size):
        data = real(self, offset, size)
        return data[:-1] + b"?" if offset == 0 else data

    monkeypatch.setattr(Area, "read", read)
    machine.check()
    assert server.events[-1] == (3, 0, CUSTOM | ErrorCode.NEW_ROOTFS_VERIFICATION)
    assert bits(machine.disk)[4] == (0, 0, 0)


def test_stopping_while_it_writes(server, machine):
    async def run():
        engine = machine.engine()
        writing = asyncio.Event()
        engine._on_status = lambda status: (
            writing.set() if status.operation is Operation.FINALIZING else None
        )
        task = asyncio.create_task(engine.check(on_demand=True))
        await writing.wait()
        engine.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    # Whatever it got to, a later run completes.
    if bits(machine.disk)[4] != (2, 1, 0):
        assert machine.check().attempt.status.operation is Operation.NEED_REBOOT
    assert machine.boot() == 4
    assert machine.content(4)[: len(IMAGE)] == IMAGE


def test_a_check_on_demand_moves_no_other(server, machine):
    """As update_engine 0.4.10, which plans the next one only when none is planned."""
    server.version = "1.0.0"
    said = []

    class Plan:
        def first(self):
            return 0.0

        def next(self, **reason):
            said.append(reason)
            return 0.0 if len(said) < 2 else 3600.0

    async def run():
        engine = machine.engine()
        engine._schedule = Plan()
        life = asyncio.create_task(engine.run())
        await until(lambda: len(said) == 2, "two checks by itself")
        for number in (3, 4):
            engine.attempt_update()
            await until(lambda: len(server.checks) == number, "one more check")  # noqa: B023
            await until(lambda: engine.attempt.status.operation is Operation.IDLE, "its end")
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life

    asyncio.run(run())
    assert said == [{"poll_interval_s": 0, "http_status": 200}] * 2
    sources = [check.install_source for check in server.checks]
    assert sources == ["scheduler"] * 2 + ["ondemandupdate"] * 2


@pytest.mark.parametrize("is_pending", [False, True])
def test_the_running_slot_is_marked_good_after_a_while(machine, monkeypatch, is_pending):
    """Without any check; not when an update waits for the reboot, whose slot is on top."""
    monkeypatch.setattr(engines, "GOOD_AFTER_S", 0.0)
    if is_pending:
        machine.check()
        wanted = {3: (1, 0, 1), 4: (2, 1, 0)}
    else:
        Slots(machine.disk, 4).mark_new()  # slot A is on trial, and was booted
        wanted = {3: (1, 0, 1), 4: (0, 0, 0)}

    async def run():
        engine = machine.engine()
        life = asyncio.create_task(engine.run())
        await until(lambda: engine._is_good and bits(machine.disk) == wanted, "the slot is marked")
        await asyncio.sleep(0.1)  # what would be done wrongly is done by now, mostly
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life

    asyncio.run(run())
    assert bits(machine.disk) == wanted
