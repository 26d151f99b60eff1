"""postinst, with programs that play mount and umount."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from coreos_py.omaha.codes import ErrorCode
from coreos_py.update import postinstall
from coreos_py.update.payload.errors import PayloadError
from coreos_py.update.slots import Slot

SLOT = Slot("/images/disk", 4, 4096, 8192, "USR-B")
MOUNT = """#!/bin/sh
echo "mount $*" >> "$(dirname "$0")/calls"
for last; do :; done
cp "$(dirname "$0")/image-postinst" "$last/postinst" 2>/dev/null
exit $(cat "$(dirname "$0")/mount-code")
"""
UMOUNT = """#!/bin/sh
echo "umount" >> "$(dirname "$0")/calls"
rm -f "$1/postinst"
"""


@pytest.fixture
def image(tmp_path, monkeypatch):
    """Sets what postinst of the image is."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("http_proxy", "p:1")
    (tmp_path / "mount-code").write_text("0")

    def write(name, text):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    write("mount", MOUNT)
    write("umount", UMOUNT)

    def postinst(text):
        write("image-postinst", f"#!/bin/sh\n{text}\n")
        return tmp_path

    return postinst


def run(*words):
    asyncio.run(postinstall.run(SLOT, list(words)))


def test_it_runs_in_the_slot(image, caplog):
    caplog.set_level(logging.INFO)
    folder = image(
        'echo "$1 $2 $(pwd)"; env | cut -d= -f1 | sort | tr "\\n" " "; echo; echo problem >&2'
    )
    run("KERNEL=/k")
    calls = (folder / "calls").read_text().splitlines()
    assert calls[0].startswith("mount -o ro,loop,offset=4096,sizelimit=8192 /images/disk /")
    assert calls[1:] == ["umount"]
    assert not Path(calls[0].rsplit(" ", 1)[1]).exists()
    said = [record.getMessage() for record in caplog.records]
    assert "postinst: /images/disk4 KERNEL=/k /" in said
    assert "postinst: problem" in said
    (names,) = [text for text in said if "PATH" in text]
    assert "http_proxy" in names
    assert "SECRET" not in names


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("exit 1", ErrorCode.POSTINSTALL_RUNNER_ERROR),
        ("kill -9 $$", ErrorCode.POSTINSTALL_RUNNER_ERROR),
        ("exit 3", ErrorCode.POSTINSTALL_BOOTED_FROM_FIRMWARE_B),
    ],
)
def test_it_fails(image, text, code):
    folder = image(text)
    with pytest.raises(PayloadError) as caught:
        run()
    assert caught.value.code is code
    assert (folder / "calls").read_text().endswith("umount\n")


def test_there_is_none(image, tmp_path):
    with pytest.raises(PayloadError, match=r"cannot run .*/postinst: No such file") as caught:
        run()
    assert caught.value.code is ErrorCode.POSTINSTALL_RUNNER_ERROR
    assert (tmp_path / "calls").read_text().endswith("umount\n")


def test_it_cannot_be_mounted(image):
    folder = image("exit 0")
    (folder / "mount-code").write_text("32")
    with pytest.raises(PayloadError, match="cannot mount /images/disk4") as caught:
        run()
    assert caught.value.code is ErrorCode.POSTINSTALL_RUNNER_ERROR
    assert "umount" not in (folder / "calls").read_text()


def test_a_block_device_needs_no_loop(image):
    folder = image("exit 0")
    asyncio.run(postinstall.run(SLOT._replace(disk="/dev/sda"), []))
    assert (folder / "calls").read_text().startswith("mount -o ro /dev/sda4 /")


def test_much_output_is_cut(image, caplog, monkeypatch):
    monkeypatch.setattr(postinstall, "_LINES_MAX", 10)
    caplog.set_level(logging.INFO)
    image("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13; do echo $i; done")
    run()
    assert sum("postinst: " in record.getMessage() for record in caplog.records) == 10


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"one li", b"ne\nanot", b"her\r\nno end"], ["one line", "another", "no end"]),
        ([b"\n", b"\xff\n"], ["", "\ufffd"]),
        ([b"x" * 9, b"y\n"], ["x" * 9, "y"]),
    ],
)
def test_lines_are_whole_however_they_arrive(caplog, monkeypatch, pieces, lines):
    monkeypatch.setattr(postinstall, "_LINE_MAX", 9)
    caplog.set_level(logging.INFO)

    async def read():
        output = asyncio.StreamReader()
        reading = asyncio.ensure_future(postinstall._log_lines(output))
        for piece in pieces:
            output.feed_data(piece)
            await asyncio.sleep(0)
        output.feed_eof()
        await reading

    asyncio.run(read())
    assert [record.getMessage() for record in caplog.records] == [f"postinst: {x}" for x in lines]
