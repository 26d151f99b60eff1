"""The directory of payloads."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from coreos_py.base.errors import ConfigError
from coreos_py.roller import payloads as module
from coreos_py.roller.payloads import Payloads, is_name
from coreos_py.update.payload.errors import PayloadError
from tests.support import payloads as examples

PAYLOAD = examples.full(examples.image(1, blocks=8))


@pytest.fixture
def payloads(tmp_path):
    found = Payloads(str(tmp_path / "packages"))
    found.prepare()
    return found


def test_a_file_appears_whole(payloads):
    incoming = payloads.receive()
    for at in range(0, len(PAYLOAD), 1000):
        incoming.write(PAYLOAD[at : at + 1000])
    (hidden,) = os.listdir(payloads.directory)
    assert payloads.open(hidden) is None
    assert incoming.verify().metadata_size > 0
    name = incoming.name("Version 1.0/ä", ".gz")
    assert name.startswith("version-1.0-")
    stored = incoming.keep(name)
    assert os.listdir(payloads.directory) == [name]
    assert (stored.filename, stored.size) == (name, len(PAYLOAD))
    file = payloads.open(name)
    assert os.read(file.fd, len(PAYLOAD) + 1) == PAYLOAD
    os.close(file.fd)
    payloads.remove(name)
    payloads.remove(name)
    assert payloads.open(name) is None


def test_what_is_no_payload(payloads):
    incoming = payloads.receive()
    incoming.write(b"<html>" * 10)
    with pytest.raises(PayloadError):
        incoming.verify()
    incoming.discard()
    assert os.listdir(payloads.directory) == []


def test_what_a_crash_left_is_cleared_away(payloads):
    payloads.receive().write(b"x")
    assert len(os.listdir(payloads.directory)) == 1
    again = Payloads(payloads.directory)
    again.prepare()
    assert os.listdir(payloads.directory) == []


def test_discarded_while_a_thread_works_on_it(payloads, monkeypatch):
    """Its descriptor may belong to another file the moment it is closed."""
    incoming = payloads.receive()
    entered, go_on = threading.Event(), threading.Event()
    write_all = module.write_all
    seen = []

    def slow(fd, data):
        entered.set()
        go_on.wait(60)
        write_all(fd, data)
        seen.append(fd)

    monkeypatch.setattr(module, "write_all", slow)
    thread = threading.Thread(target=incoming.write, args=(b"data",))
    thread.start()
    entered.wait(60)
    incoming.discard()
    assert len(os.listdir(payloads.directory)) == 1  # not under the thread's hands
    go_on.set()
    thread.join()
    assert len(seen) == 1
    assert os.listdir(payloads.directory) == []
    with pytest.raises(OSError, match="given up"):
        incoming.write(b"more")
    incoming.discard()


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "a/b", "/a", "a\0", "a\n", "-a", "ä", "a b", "a" * 256, "a\\b", "~"],
)
def test_names_that_are_none(payloads, name):
    assert not is_name(name)
    assert payloads.open(name) is None


@pytest.mark.parametrize("name", ["a", "update.gz", "1.0+b_x~1-2.tar.bz2", "a" * 255])
def test_names(name):
    assert is_name(name)


def test_only_plain_files(payloads, tmp_path):
    (tmp_path / "secret").write_text("x")
    folder = Path(payloads.directory)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    for name in ("link", "folder", "fifo"):
        assert payloads.open(name) is None


def test_a_directory_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"payloads: .*file"):
        Payloads(str(tmp_path / "file" / "x")).prepare()
