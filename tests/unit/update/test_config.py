"""update.conf: the first file that has a key decides; what the server is told about a machine."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import CoreosError
from coreos_py.update import config, prefs, prefs_dir
from coreos_py.update.prefs_dir import PrefsDir

ETC, SHARE, RELEASE = config.FILES


def load(files, *, aleph=None):
    return config.load(files.get, aleph_version=aleph, architecture="x86_64")


def test_nothing_is_there():
    found = load({})
    assert found.server == "https://public.update.core-os.net/v1/update/"
    assert not found.is_custom_server
    assert found.client.track == "stable"
    assert found.client.app_id == "{e96281a6-d1af-4bde-9a0a-97b76e56dc57}"
    assert (found.client.boot_id, found.client.version, found.client.oem) == ("{}", "", "")


def test_everything_is_there():
    found = load(
        {
            ETC: 'GROUP=alpha\nSERVER=http://u/\nMACHINE_ALIAS="rack 7"\n',
            RELEASE: "COREOS_RELEASE_VERSION=1122.3.0\nCOREOS_RELEASE_BOARD=amd64-usr\n"
            "COREOS_RELEASE_APPID={a}\n",
            "/usr/share/oem/oem-release": "ID=ec2\nVERSION_ID=0.0.5\n",
            "/etc/machine-id": "abc\n",
            "/proc/sys/kernel/random/boot_id": "b-c-d\n",
        }
    )
    assert (found.server, found.is_custom_server) == ("http://u/", True)
    assert found.client == config.Client(
        app_id="{a}",
        version="1122.3.0",
        track="alpha",
        boot_id="{b-c-d}",
        oem="ec2",
        oem_version="0.0.5",
        aleph_version="1122.3.0",
        machine_id="abc",
        board="amd64-usr",
        architecture="x86_64",
        alias="rack 7",
    )
    assert load({RELEASE: "COREOS_RELEASE_VERSION=2\n"}, aleph="1").client.aleph_version == "1"


@pytest.mark.parametrize(
    ("files", "track"),
    [
        ({ETC: "GROUP=a\n", SHARE: "GROUP=b\n", RELEASE: "GROUP=c\n"}, "a"),
        ({ETC: "SERVER=x\n", SHARE: "GROUP=b\n", RELEASE: "GROUP=c\n"}, "b"),
        ({RELEASE: "GROUP=c\n"}, "c"),
        ({ETC: "GROUP=\n", SHARE: "GROUP=b\n"}, ""),
        ({ETC: "#GROUP=a\n GROUP = x \nnonsense\n=y\n"}, "x"),
        ({ETC: "GROUP=a\nGROUP=b"}, "b"),
        ({ETC: "GROUP='a b'\n"}, "a b"),
        ({ETC: 'GROUP="\n'}, '"'),
    ],
)
def test_which_one(files, track):
    assert load(files).client.track == track


def test_the_first_oem_file_that_has_it():
    files = {"/etc/oem-release": "ID=a\n", "/usr/share/oem/oem-release": "ID=b\nVERSION_ID=2\n"}
    client = load(files).client
    assert (client.oem, client.oem_version) == ("a", "2")


def test_disabled():
    assert load({ETC: "SERVER=disabled\n"}).is_disabled


def test_prefs_are_files(tmp_path):
    found = PrefsDir(str(tmp_path / "a" / "prefs"))
    assert found.get(prefs.URL_INDEX) is None
    found[prefs.URL_INDEX] = "1"
    found[prefs.ALEPH_VERSION] = "1.2.3"
    assert (tmp_path / "a" / "prefs" / "current-url-index").read_text() == "1"
    (tmp_path / "a" / "prefs" / "foreign").write_text("x")
    assert dict(PrefsDir(str(tmp_path / "a" / "prefs"))) == {
        prefs.ALEPH_VERSION: "1.2.3",
        prefs.URL_INDEX: "1",
    }
    del found[prefs.URL_INDEX]
    assert len(found) == 1
    assert oct((tmp_path / "a" / "prefs" / prefs.ALEPH_VERSION).stat().st_mode)[-3:] == "600"


def test_prefs_that_cannot_be_written(tmp_path, monkeypatch, caplog):
    found = PrefsDir(str(tmp_path / "prefs"))
    found[prefs.URL_INDEX] = "1"

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(prefs_dir, "write_atomically", full)
        found[prefs.URL_INDEX] = "2"
        found[prefs.ATTEMPTS] = "3"
    assert "Unable to store" in caplog.text
    assert dict(found) == {prefs.URL_INDEX: "2", prefs.ATTEMPTS: "3"}
    assert dict(PrefsDir(str(tmp_path / "prefs"))) == {prefs.URL_INDEX: "1"}
    found[prefs.URL_INDEX] = "2"  # now it can
    del found[prefs.ATTEMPTS]
    assert dict(PrefsDir(str(tmp_path / "prefs"))) == dict(found) == {prefs.URL_INDEX: "2"}
    (tmp_path / "file").write_text("")
    with pytest.raises(CoreosError, match="Not a directory"):
        PrefsDir(str(tmp_path / "file" / "prefs"))
