"""update_engine_stub: one event to the server, as the shell script of that name sent it."""

from __future__ import annotations

import pytest

from coreos_py.omaha import request
from coreos_py.update.cmd_stub import main
from tests.support.update_server import UpdateServer


@pytest.fixture
def root(tmp_path):
    for name in ("etc/coreos", "usr/share/coreos"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/machine-id").write_text("abc\n")
    release = "COREOS_RELEASE_VERSION=1122.3.0\nCOREOS_RELEASE_APPID={a}\n"
    (tmp_path / "usr/share/coreos/release").write_text(release)
    return tmp_path


def test_the_text():
    client = request.Client("{a}", "1.2.3", "alpha", "{b}", "diskless", "", "", "m", "", "x86_64")
    assert request.check_in(client).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<request protocol="3.0" version="CoreOSUpdateEngine-0.1.0.0"'
        ' updaterversion="CoreOSUpdateEngine-0.1.0.0" installsource="scheduler" ismachine="1">\n'
        '<os version="Chateau" platform="CoreOS" sp="1.2.3"></os>\n'
        '<app appid="{a}" oem="diskless" version="1.2.3" track="alpha" bootid="{b}"'
        ' machineid="m" lang="en-US" hardware_class="" delta_okay="false"  >\n'
        '<event eventtype="3" eventresult="2" previousversion=""></event>\n'
        "</app>\n</request>"
    )


@pytest.mark.parametrize(
    ("conf", "oem", "track"), [("", "diskless", "alpha"), ("GROUP=beta\n", "ec2", "beta")]
)
def test_it_checks_in(root, capsys, conf, oem, track):
    if oem == "ec2":
        (root / "etc/oem-release").write_text("ID=ec2\n")
    with UpdateServer(b"x") as server:
        (root / "etc/coreos/update.conf").write_text(f"SERVER={server.url}\n{conf}")
        assert main(["update_engine_stub", "-root", str(root)]) == 0
        assert server.previous == [""]
        assert server.checks == []
    out = capsys.readouterr().out
    assert f'oem="{oem}" version="1122.3.0" track="{track}"' in out
    assert '<event status="ok"></event>' in out


def test_nobody_answers(root, capsys):
    (root / "etc/coreos/update.conf").write_text("SERVER=http://127.0.0.1:1/\n")
    assert main(["update_engine_stub", "-root", str(root)]) == 1
    assert "connection refused" in capsys.readouterr().err


def test_disabled(root, capsys):
    (root / "etc/coreos/update.conf").write_text("SERVER=disabled\n")
    assert main(["update_engine_stub", "-root", str(root)]) == 0
    assert capsys.readouterr().out == ""
