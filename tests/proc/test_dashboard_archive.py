"""The dashboard comes out of the one file, as it is in the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from coreos_py.roller.web import assets
from tests.support.procs import http_request
from tests.support.rollerd import Rollerd

pytestmark = pytest.mark.proc

STATIC = Path(assets.__file__).with_name("static")


def test_the_archive_serves_every_file(archive, tmp_path):
    server = Rollerd(tmp_path)
    flags = [word for word in server.argv if word.startswith("-") and "=" in word]
    server.argv = [sys.executable, "-IS", str(archive), "rollerd", *flags]
    server.start()
    try:
        server.wait_ready()
        assert http_request("GET", f"{server.url}/").body == (STATIC / "index.html").read_bytes()
        for path in STATIC.rglob("*.*"):
            reply = http_request("GET", f"{server.url}/{path.relative_to(STATIC)}")
            assert (reply.status, reply.body) == (200, path.read_bytes()), path
        assert http_request("GET", f"{server.url}/views/nosuch.js").status == 404
        assert http_request("GET", f"{server.url}/assets.py").status == 404
    finally:
        server.close()
