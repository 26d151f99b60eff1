"""cgpt: what seismograph's cgpt printed and wrote, command by command; sgdisk agrees."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess

import pytest

from coreos_py.update.cmd_cgpt import main
from tests.support.payloads import DATA

GUID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def cgpt(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(["cgpt", *words])
        return code, *capsys.readouterr()

    return run


def test_the_recorded_session(tmp_path, cgpt):
    """tests/data/update/cgpt.json: 176 steps of the real program on a disk of 1 MiB."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    for number, step in enumerate(json.loads((DATA / "cgpt.json").read_text())):
        if "flip" in step:
            content = bytearray(image.read_bytes())
            for at in step["flip"]:
                content[at] ^= 0xFF
            image.write_bytes(content)
        else:
            found = cgpt(*step["words"], "disk.img")
            assert found == (step["rc"], step["out"], step["err"]), (number, step["words"])
        digest = hashlib.sha256(image.read_bytes()).hexdigest()[:16]
        assert digest == step["sha256"], (number, step)


def _disk(cgpt, path, *, bits=((1, 0, 1), (0, 0, 0))):
    assert cgpt("create", "-c", "-s", "2048", "-g", GUID, path)[0] == 0
    for number, (priority, tries, good) in zip((3, 4), bits, strict=True):
        words = [f"-i{number}", f"-b{1024 + 100 * (number - 3)}", "-s100", "-tcoreos-usr"]
        bits_ = [f"-P{priority}", f"-T{tries}", f"-S{good}"]
        assert cgpt("add", *words, *bits_, "-l", f"USR-{'AB'[number - 3]}", path) == (0, "", "")


@pytest.mark.skipif(shutil.which("sgdisk") is None, reason="gdisk is not installed")
def test_sgdisk_sees_the_same(tmp_path, cgpt):
    _disk(cgpt, "d", bits=((1, 0, 1), (9, 5, 0)))

    def sgdisk(*words):
        done = subprocess.run(
            ["sgdisk", *words, tmp_path / "d"], capture_output=True, text=True, check=True
        )
        return done.stdout

    assert "No problems found" in sgdisk("--verify")
    shown = sgdisk("--info=4")
    assert "Attribute flags: 0059000000000000" in shown
    assert "Partition name: 'USR-B'" in shown
    assert "5DFBF5F4-2848-4BAC-AA5E-0D9A20B745A6" in shown.upper()
    # And the other way round: what sgdisk sets is what we read.
    sgdisk("-A", "4:set:56", "-A", "4:clear:48", "-c", "4:other")
    assert cgpt("show", "-i4", "-S", "d") == (0, "1\n", "")
    assert cgpt("show", "-i4", "-P", "d") == (0, "8\n", "")
    assert cgpt("show", "-i4", "-l", "d") == (0, "other\n", "")
    assert cgpt("prioritize", "-i3", "d")[0] == 0
    assert "No problems found" in sgdisk("--verify")
    assert "Attribute flags: 0102000000000000" in sgdisk("--info=3")


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["show"], 1, "ERROR: cgpt show: missing drive argument"),
        (["show", "none"], 1, "ERROR: cgpt show: unable to access device none: No such file"),
        (["show", ""], 1, "ERROR: cgpt show: empty drive argument"),
        (["add", "-i4", "-S7", "d"], 1, "ERROR: cgpt add: value for -S must be between 0 and 1"),
        (["add", "-i4", "-T16", "d"], 1, "ERROR: cgpt add: value for -T must be between 0 and 15"),
        (["add", "-i4", "-Tx", "d"], 1, 'ERROR: cgpt add: invalid argument to -T: "x"'),
        (["add", "-i4", "-t", "nosuch", "d"], 1, "ERROR: cgpt add: invalid argument to -t"),
        (["add", "-x", "d"], 1, "ERROR: cgpt add: unrecognized option: -x"),
        (["add", "d", "-i"], 1, "ERROR: cgpt add: missing argument to -i"),
        (["add", "-i200", "-S1", "d"], 1, "ERROR: cgpt add: invalid partition number: 200"),
        (["add", "-i7", "-S1", "d"], 1, "-t, -b, and -s options are required for new partitions"),
        (["add", "-tunused", "-b40", "-s1", "d"], 1, "must have a type other than"),
        (["add", "-tefi", "-b1050", "-s1", "d"], 1, "ERROR: cgpt add: Starting LBA overlaps"),
        (["add", "-tefi", "-b900", "-s200", "d"], 1, "ERROR: cgpt add: Ending LBA overlaps"),
        (["add", "-tefi", "-b3", "-s2", "d"], 1, "ERROR: cgpt add: Entry outside of valid region"),
        (["add", "-tefi", "-b40", "-s1", "-l", "\udcff", "d"], 1, "cannot be converted to UTF16"),
        (["prioritize", "-i1", "d"], 1, "partition 1 is not a CoreOS root"),
        (["prioritize", "-i129", "d"], 1, "invalid partition number: 129"),
        (["prioritize", "-f", "d"], 1, "the -f option is only useful with the -i option"),
        (["prioritize", "-P0", "d"], 1, "value for -P must be between 1 and 15"),
        (["find", "d"], 1, "You must specify at least one of -t, -u, or -l"),
        (["find", "-t", "efi", "-M", "none", "d"], 1, "Unable to read from none"),
        (["create", "-c", "e"], 1, "minimum size (-s) is required with create (-c)"),
        (["create", "e"], 1, "Can't open e: No such file or directory"),
        (["show", "small"], 1, "GptSanityCheck() returned 5: GPT_ERROR_INVALID_SECTOR_NUMBER"),
        (["show", "odd"], 1, "is not a multiple of sector size(512)"),
        (["show", "empty"], 1, "GptSanityCheck() returned 2: GPT_ERROR_INVALID_HEADERS"),
        (["repair", "empty"], 1, "GptRepair() returned 2: GPT_ERROR_INVALID_HEADERS"),
        (["next", "empty"], 1, "GPT_ERROR_INVALID_HEADERS"),
        (["boot", "-i1", "empty"], 1, "GPT_ERROR_INVALID_HEADERS"),
        (["resize", "d"], 1, "ERROR: cgpt resize: device not found d"),
    ],
)
def test_problems(tmp_path, cgpt, words, code, problem):
    _disk(cgpt, "d")
    (tmp_path / "small").write_bytes(bytes(512 * 60))
    (tmp_path / "odd").write_bytes(bytes(512 * 200 + 1))
    (tmp_path / "empty").write_bytes(bytes(1 << 20))
    before = (tmp_path / "d").read_bytes()
    found, _, err = cgpt(*words)
    assert found == code
    assert problem in err
    assert "Traceback" not in err
    assert (tmp_path / "d").read_bytes() == before


@pytest.mark.parametrize("words", [[], ["nosuch"], ["re"]])
def test_no_command(cgpt, words):
    code, out, _ = cgpt(*words)
    assert code == 1
    assert "prioritize" in out


def test_commands_may_be_shortened(cgpt):
    _disk(cgpt, "d")
    assert cgpt("p", "-i4", "d") == (0, "", "")
    assert cgpt("sh", "-i4", "-P", "d") == (0, "2\n", "")


def test_find_by_content(tmp_path, cgpt):
    _disk(cgpt, "d")
    content = bytearray((tmp_path / "d").read_bytes())
    content[1124 * 512 + 5 : 1124 * 512 + 10] = b"hello"
    (tmp_path / "d").write_bytes(content)
    (tmp_path / "m").write_bytes(b"hello")
    assert cgpt("find", "-t", "coreos-usr", "-M", "m", "-O5", "d") == (0, "d4\n", "")
    assert cgpt("find", "-t", "coreos-usr", "-M", "m", "d") == (1, "", "")
    assert cgpt("find", "-t", "coreos-usr", "-M", "m", "-O", "51198", "d") == (1, "", "")


def test_a_random_guid_is_one(cgpt):
    cgpt("create", "-c", "-s2048", "d")
    cgpt("add", "-tefi", "-b40", "-s1", "d")
    first = cgpt("show", "-i1", "-u", "d")[1].strip()
    assert first[14] == "4"
    assert first[19] in "89AB"
    cgpt("add", "-tefi", "-b41", "-s1", "d")
    assert cgpt("show", "-i2", "-u", "d")[1].strip() != first
