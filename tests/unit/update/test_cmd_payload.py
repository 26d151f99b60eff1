"""`coreos payload`: the same bytes as update_engine's own tool, and clear words for what is not."""

from __future__ import annotations

import base64
import bz2
import hashlib
import json
import os

import pytest

from coreos_py import multicall
from coreos_py.commands import TABLE
from tests.support import payloads
from tests.support.payloads import DATA


@pytest.fixture
def coreos(capsys):
    def run(*words):
        code = multicall.run(TABLE["coreos"], ["coreos", "payload", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "new.img").write_bytes(payloads.FULL_IMAGE)
    (tmp_path / "kernel").write_bytes(payloads.FULL_KERNEL)
    old = payloads.image(3, blocks=200)
    (tmp_path / "a.img").write_bytes(old)
    (tmp_path / "b.img").write_bytes(old[4096 * 7 :] + b"changed".ljust(4096, b"!"))
    return tmp_path


def test_build_is_the_real_generators(coreos, folder):
    made = folder / "made"
    words = ["--image", folder / "new.img", "--kernel", folder / "kernel", "--key", payloads.KEY]
    code, out, err = coreos("build", *words, "--output", made)
    real = (DATA / "full-by-delta_generator.gz").read_bytes()
    assert (code, err) == (0, "")
    assert made.read_bytes() == real
    digest = base64.b64encode(hashlib.sha256(real).digest()).decode()
    assert f"sha256:    {digest}\n" in out
    code, out, err = coreos("verify", made, "--public-key", payloads.PUBLIC_KEY)
    assert (code, err) == (0, "")
    said = "the data is whole, the signature is good, it makes the image it announces"
    assert out == f"{made}: {said}\n"


def test_a_delta(coreos, folder):
    made = folder / "made"
    images = ["--image", folder / "b.img", "--old-image", folder / "a.img"]
    assert coreos("build", *images, "-o", made, "--jobs", "3")[0] == 0
    first = made.read_bytes()
    assert len(first) < 20_000
    assert coreos("build", *images, "-o", made, "--jobs", "1")[0] == 0
    assert made.read_bytes() == first
    code, out, _ = coreos("verify", made, "--old-image", folder / "a.img")
    said = "the data is whole, no signature was checked, it makes the image it announces"
    assert (code, out) == (0, f"{made}: {said}\n")
    assert coreos("verify", made)[1].endswith("no signature was checked\n")
    code, out, err = coreos("verify", made, "--old-image", folder / "b.img")
    assert (code, out) == (1, "")
    assert err == "coreos: the old image is not the one this payload was made for\n"


def test_inspect(coreos):
    path = DATA / "delta-by-delta_generator.gz"
    code, out, _ = coreos("inspect", path, "--operations")
    assert code == 0
    assert "kind:      delta\n" in out
    assert "\nMOVE" in out
    code, out, _ = coreos("inspect", path, "--json")
    shown = json.loads(out)
    assert shown["size"] == path.stat().st_size
    assert shown["signatures_size"] == 264
    assert {item["type"] for item in shown["operations"]} == {"MOVE", "BSDIFF", "REPLACE_BZ"}
    assert shown["files"][0]["type"] == "KERNEL"


def test_the_real_delta_is_verified(coreos, tmp_path):
    old = tmp_path / "old.img"
    old.write_bytes(bz2.decompress((DATA / "delta-old.img.bz2").read_bytes()))
    path = DATA / "delta-by-delta_generator.gz"
    words = ["--public-key", payloads.PUBLIC_KEY, "--old-image", old]
    assert coreos("verify", path, *words)[0] == 0


def test_sign(coreos, folder):
    plain, signed = folder / "plain", folder / "signed"
    words = ["--image", folder / "new.img", "--kernel", folder / "kernel"]
    assert coreos("build", *words, "-o", plain)[0] == 0
    assert coreos("verify", plain, "--public-key", payloads.PUBLIC_KEY)[0] == 1
    assert coreos("sign", plain, "--key", payloads.KEY, "-o", signed)[0] == 0
    assert signed.read_bytes() == (DATA / "full-by-delta_generator.gz").read_bytes()


def test_a_device_is_written_and_not_replaced(coreos, folder):
    (folder / "null").symlink_to(os.devnull)
    code, out, err = coreos("build", "--image", folder / "new.img", "-o", folder / "null")
    assert (code, err) == (0, "")
    assert coreos("build", "--image", folder / "new.img", "-o", folder / "made")[1] == out
    assert (folder / "null").is_symlink()


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["inspect", "/none"], 1, "/none: No such file or directory"),
        (["verify", "/etc/passwd"], 1, "this is no update payload"),
        (["verify", "{real}", "--sha256", "abc"], 2, '"abc" is no SHA-256 digest'),
        (["verify", "{real}", "--sha256", "0" * 64], 1, "not the one that the server announced"),
        (["verify", "{real}", "--public-key", "/none"], 1, "/none: No such file or directory"),
        (["build", "--image", "/dev/null", "-o", "{out}"], 2, "/dev/null: an empty image"),
        (["build", "--image", "/none", "-o", "{out}"], 1, "/none: No such file or directory"),
        (["build", "--image", "{real}", "-o", "/none/x"], 1, "/none/x: No such file"),
        (["build", "--image", "{real}", "-o", "{out}", "--key", "{real}"], 1, "no private key"),
        (["build", "--image", "{real}", "-o", "{out}", "--kernel", "/none"], 1, "/none: No such"),
        (["sign", "{real}", "--key", "/none", "-o", "{out}"], 1, "/none: No such file"),
        (["sign", "/etc/passwd", "--key", payloads.KEY, "-o", "{out}"], 1, "no update payload"),
    ],
)
def test_problems_are_one_line(coreos, tmp_path, words, code, problem):
    names = {"real": DATA / "full-by-delta_generator.gz", "out": tmp_path / "out"}
    found, out, err = coreos(*(word.format(**names) for word in words))
    assert (found, out) == (code, "")
    assert problem in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir()) == []
