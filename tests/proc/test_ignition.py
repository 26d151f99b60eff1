"""`ignition` on a target directory and on image files, with the real tools."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shlex
import shutil
import socket
import stat
import subprocess
import threading

import pytest

from coreos_py.base.errors import CoreosError
from coreos_py.ignition.apply import Applier
from coreos_py.ignition.fetch import Fetcher, FetchError
from coreos_py.ignition.plan import Disable, Owner, PutLink
from coreos_py.ignition.root import Root
from tests.support.procs import command, environment

pytestmark = [
    pytest.mark.proc,
    pytest.mark.skipif(os.geteuid() != 0, reason="owners and accounts need root"),
]

PATH = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


@pytest.fixture
def ignition(tmp_path):
    """Runs a stage with a config of its own."""

    def run(document, stage, *flags):
        text = document if isinstance(document, str) else json.dumps(document)
        (tmp_path / "config.ign").write_text(text)
        return subprocess.run(
            [
                *command("ignition"),
                "--platform=file",
                f"--stage={stage}",
                f"--config-cache={tmp_path}/cache.json",
                f"--state-file={tmp_path}/state",
                "--clear-cache",
                "--fetch-timeout=60s",
                *flags,
            ],
            env=environment({**PATH, "IGNITION_CONFIG_FILE": f"{tmp_path}/config.ign"}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def target(tmp_path):
    """The root of a machine that has an account besides root's."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "home" / "core").mkdir(parents=True)
    for name, text in {
        "passwd": "root:x:0:0:root:/root:/bin/sh\ncore:x:500:500::/home/core:/bin/sh\n",
        "group": "root:x:0:\ncore:x:500:\n",
        "shadow": "root:*:1::::::\ncore:*:1::::::\n",
        "gshadow": "root:*::\ncore:*::\n",
    }.items():
        (root / "etc" / name).write_text(text)
    return root


@pytest.fixture
def server():
    """Serves a config and a file; the first answer to anything is a 503."""
    seen = set()
    content = {
        "/part.ign": json.dumps(
            {
                "ignition": {"version": "3.0.0"},
                "storage": {"files": [{"path": "/part", "contents": {"source": "data:,part"}}]},
            }
        ).encode(),
        "/blob": b"blob",
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            first = self.path not in seen
            seen.add(self.path)
            data = content.get(self.path)
            self.send_response(503 if first and data else 200 if data else 404)
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def digest(data):
    return {"hash": f"sha512-{hashlib.sha512(data).hexdigest()}"}


def test_files_of_version_3(ignition, target, server):
    (target / "etc" / "old").write_text("old")
    (target / "etc" / "link").symlink_to("/etc")  # leads to the target's /etc, not to the host's
    document = {
        "ignition": {
            "version": "3.3.0",
            "config": {"merge": [{"source": f"{server}/part.ign"}]},
        },
        "passwd": {
            "groups": [{"name": "ops", "gid": 700}],
            "users": [
                {"name": "core", "sshAuthorizedKeys": ["ssh-rsa AAA core"], "groups": ["ops"]},
                {"name": "ann", "uid": 1234, "passwordHash": "$6$x"},
            ],
        },
        "storage": {
            "directories": [{"path": "/opt/a/b", "mode": 0o700, "user": {"name": "core"}}],
            "files": [
                {
                    "path": "/opt/blob",
                    "mode": 0o640,
                    "contents": {"source": f"{server}/blob", "verification": digest(b"blob")},
                    "group": {"name": "ops"},
                },
                {"path": "/etc/old", "append": [{"source": "data:,%2Bnew"}]},
                {"path": "/etc/link/inside", "contents": {"source": "data:,x"}},
            ],
            "links": [{"path": "/opt/l", "target": "/opt/a"}],
        },
        "systemd": {
            "units": [
                {
                    "name": "x.service",
                    "enabled": True,
                    "contents": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=a.target\n",
                    "dropins": [{"name": "a.conf", "contents": "[Service]\nUser=core\n"}],
                },
                {"name": "m.service", "mask": True},
            ]
        },
    }
    planned = ignition(document, "files", f"--root={target}", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert not (target / "opt").exists()
    done = ignition(document, "files", f"--root={target}")
    assert done.returncode == 0, done.stderr
    for line in planned.stderr.splitlines():
        if "attempt" not in line:
            assert line in done.stderr
    assert (target / "part").read_text() == "part"
    assert (target / "etc" / "inside").read_text() == "x"
    assert (target / "etc" / "old").read_text() == "old+new"
    blob = (target / "opt" / "blob").stat()
    assert (blob.st_mode & 0o7777, blob.st_gid, blob.st_uid) == (0o640, 700, 0)
    directory = (target / "opt" / "a" / "b").stat()
    assert (directory.st_mode & 0o7777, directory.st_uid) == (0o700, 500)
    assert str((target / "opt" / "l").readlink()) == "/opt/a"
    keys = target / "home/core/.ssh/authorized_keys.d/ignition"
    assert keys.read_text() == "ssh-rsa AAA core\n"
    assert (keys.stat().st_mode & 0o7777, keys.stat().st_uid) == (0o600, 500)
    assert "ann:x:1234:" in (target / "etc/passwd").read_text()
    assert "ops:x:700:core" in (target / "etc/group").read_text()
    assert (target / "home/ann").is_dir()
    units = target / "etc/systemd/system"
    assert str((units / "m.service").readlink()) == "/dev/null"
    assert (units / "x.service.d" / "a.conf").read_text() == "[Service]\nUser=core\n"
    assert (target / "etc/systemd/system-preset/20-ignition.preset").read_text() == (
        "enable x.service\n"
    )
    result = json.loads((target / "etc/.ignition-result.json").read_text())
    assert result["userConfigProvided"] is True

    # What is in the way now is found before anything is done again.
    again = ignition(document, "files", f"--root={target}")
    assert again.returncode == 1
    assert "A file exists there already and overwrite is false" in again.stderr
    assert (target / "etc" / "old").read_text() == "old+new"


def test_files_of_version_2(ignition, target):
    (target / "etc" / "old").write_text("old")
    file = {"filesystem": "root", "path": "/etc/old", "contents": {"source": "data:,new"}}
    document = {
        "ignition": {"version": "2.2.0"},
        "storage": {"files": [file]},
        "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-rsa AAA core"]}]},
        "networkd": {"units": [{"name": "a.network", "contents": "[Match]\nName=*\n"}]},
    }
    for _ in range(2):  # files are replaced: a second run changes nothing
        done = ignition(document, "files", f"--root={target}")
        assert done.returncode == 0, done.stderr
        old = target / "etc" / "old"
        assert old.stat().st_mode & 0o7777 == 0  # the mode was not set
        assert old.read_text() == "new"
        keys = target / "home/core/.ssh"
        assert (keys / "authorized_keys").read_text() == "ssh-rsa AAA core\n\n"
        assert (target / "etc/systemd/network/a.network").exists()


BAD_FILES = [
    ({"path": "a"}, "config is not valid", 1),
    (
        {"path": "/a", "contents": {"source": "data:,x", "verification": digest(b"y")}},
        "hash verification failed",
        1,
    ),
    ({"path": "/a", "contents": {"source": "http://127.0.0.1:1/x"}}, "no more attempts", 1),
    ({"path": "/a", "user": {"name": "nobody-there"}}, "nobody-there: no such user", 1),
    ({"path": "/etc/link", "contents": {"source": "data:,x"}}, "/etc/link: something else", 1),
    (
        {"path": "/etc", "overwrite": True, "contents": {"source": "data:,x"}},
        "/etc/.ignition-result.json: ",
        1,
    ),
]


@pytest.mark.parametrize(("file", "text", "code"), BAD_FILES)
def test_nothing_is_done_when_anything_is_wrong(ignition, target, file, text, code):
    (target / "etc" / "link").symlink_to("nowhere")
    good = {"path": "/good", "contents": {"source": "data:,x"}}
    document = {"ignition": {"version": "3.3.0"}, "storage": {"files": [good, file]}}
    done = ignition(document, "files", f"--root={target}", "--fetch-timeout=3s")
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    # Owners are looked up when it is their turn, and the report is written last.
    if "user" not in file and "overwrite" not in file:
        assert not (target / "good").exists()


@pytest.mark.skipif(not shutil.which("sgdisk", path=PATH["PATH"]), reason="gdisk is missing")
def test_disks(ignition, tmp_path):
    disk, volume = tmp_path / "disk.img", tmp_path / "volume.img"
    for path, size in ((disk, 64 << 20), (volume, 32 << 20)):
        with path.open("wb") as file:
            file.truncate(size)
    partitions = [
        {"number": 1, "label": "A", "sizeMiB": 16},
        {"number": 2, "label": "B", "sizeMiB": 0},
    ]
    document = {
        "ignition": {"version": "3.3.0"},
        "storage": {
            "disks": [{"device": str(disk), "wipeTable": True, "partitions": partitions}],
            "filesystems": [{"device": str(volume), "format": "ext4", "label": "DATA"}],
        },
    }

    def tool(*words):
        env = {**os.environ, **PATH}
        return subprocess.run(
            words, env=env, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    assert ignition(document, "disks", "--dry-run").returncode == 0
    assert disk.read_bytes().count(0) == 64 << 20
    done = ignition(document, "disks")
    assert done.returncode == 0, done.stderr
    assert "Partition name: 'A'" in tool("sgdisk", "-i", "1", str(disk))
    assert "(32768 sectors" not in tool("sgdisk", "-i", "2", str(disk))
    assert "LABEL=DATA" in tool("blkid", "-p", "-o", "export", str(volume))

    # The same again: everything is as it shall be.
    document["storage"]["disks"][0]["wipeTable"] = False
    before = disk.read_bytes(), volume.read_bytes()
    done = ignition(document, "disks")
    assert (done.returncode, done.stderr) == (0, "")
    assert (disk.read_bytes(), volume.read_bytes()) == before

    # Something else: refused, and nothing is lost.
    partitions[0]["sizeMiB"] = 8
    done = ignition(document, "disks")
    assert done.returncode == 1
    assert "partition 1 exists and differs in size" in done.stderr
    partitions[0]["sizeMiB"] = 16
    document["storage"]["filesystems"][0]["format"] = "swap"
    done = ignition(document, "disks")
    assert "there is ext4 already, swap is wanted" in done.stderr
    assert (disk.read_bytes(), volume.read_bytes()) == before


def apply(target, *actions):
    Applier(Root(str(target)), lambda _source: b"", say=lambda _line: None).apply(actions)


def test_hard_links(target):
    (target / "symbolic").symlink_to("nowhere")
    nobody = Owner(), Owner()
    hard = PutLink("/etc/hard", "/symbolic", True, *nobody, overwrite=False, may_be_there=True)
    for _ in range(2):  # a link to the link itself, and the second time it is there
        apply(target, hard)
        assert str((target / "etc" / "hard").readlink()) == "nowhere"
        assert (target / "symbolic").lstat().st_nlink == 2
    (target / "other").touch()
    with pytest.raises(CoreosError, match="/etc/hard: something else exists there already"):
        apply(target, hard._replace(target="/other"))


def test_links_on_a_file_system_of_its_own(target):
    """Version 2 names the file system a file is on, and that is where it is."""
    part = Root(str(target), is_part=True)
    for name, to, led in (("in", "etc", "/etc/x"), ("up", "../etc", ""), ("off", "/etc", "")):
        (target / name).symlink_to(to)
        assert Root(str(target)).entry(f"/{name}/x") == f"{target}/etc/x"
        if led:
            assert part.entry(f"/{name}/x") == f"{target}{led}"
        else:
            with pytest.raises(CoreosError, match="leads out of the file system"):
                part.entry(f"/{name}/x")


def test_disabled_units_lose_their_links(target):
    units = target / "etc/systemd/system"
    for directory in ("a.target.wants", "b.target.requires", "c.d"):
        (units / directory).mkdir(parents=True)
        (units / directory / "x.service").symlink_to("/lib/systemd/system/x.service")
        (units / directory / "y.service").symlink_to("/lib/systemd/system/y.service")
    (units / "alias.service").symlink_to("/lib/systemd/system/x.service")
    (units / "x.service").write_text("[Service]\n")
    apply(target, Disable("x.service"), Disable("none.service"))
    left = sorted(str(path.relative_to(units)) for path in units.rglob("*.service"))
    assert left == [
        "a.target.wants/y.service",
        "b.target.requires/y.service",
        "c.d/x.service",
        "c.d/y.service",
        "x.service",
    ]


def can_mount():
    done = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="may not mount")
def test_file_systems_below_the_root(ignition, target, tmp_path):
    """Mounted for the files stage, with parents that belong to whom they are made for."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    outer = tmp_path / "outer"
    outer.mkdir()
    document = {
        "ignition": {"version": "3.3.0"},
        "passwd": {"users": [{"name": "ann", "uid": 1234}]},
        "storage": {
            "filesystems": [
                {"device": str(image), "path": "/home/ann/data/in", "format": "ext4"},
                {"device": "/dev/null", "path": "/not/made", "format": "none"},
            ],
            "files": [{"path": "/home/ann/data/in/file", "user": {"name": "ann"}}],
        },
    }
    assert ignition(document, "disks").returncode == 0
    flags = f"--platform=file --config-cache={tmp_path}/cache.json --state-file={tmp_path}/state"
    run = f"{shlex.join(command('ignition'))} --root={target} {flags}"
    script = (
        f"{run} --stage=mount; mountpoint -q {target}/home/ann/data/in; {run} --stage=files;"
        f" test -e {target}/home/ann/data/in/file; {run} --stage=umount;"
        f" ! mountpoint -q {target}/home/ann/data/in;"
        f" mount {image} {outer}; cp -a {outer}/file {tmp_path}"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script],
        env=environment(PATH),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").stat().st_uid == 1234
    for name in ("home/ann", "home/ann/data"):
        found = (target / name).stat()
        assert (found.st_uid, found.st_mode & 0o7777) == (1234, 0o700), name
    assert not (target / "not").exists()

    (target / "link").symlink_to("/tmp")
    document["storage"]["filesystems"][0]["path"] = "/link/in"
    done = ignition(document, "mount", f"--root={target}")
    assert done.returncode == 1
    assert "/link/in: /link is not a directory" in done.stderr


def test_before_there_is_a_network(ignition, target, tmp_path, server):
    wish = tmp_path / "run" / "neednet"
    document = {"ignition": {"version": "3.3.0"}}
    done = ignition(document, "fetch-offline", f"--neednet={wish}")
    assert (done.returncode, wish.exists()) == (0, False)
    for more in (
        {"config": {"merge": [{"source": f"{server}/part.ign"}]}},
        {"security": {"tls": {"certificateAuthorities": [{"source": f"{server}/blob"}]}}},
    ):
        document["ignition"] = {"version": "3.3.0", **more}
        done = ignition(document, "fetch-offline", f"--neednet={wish}")
        assert (done.returncode, wish.read_bytes()) == (0, b""), done.stderr
        wish.unlink()


def test_request_headers(ignition):
    """A config's come before ours, and another server than it named does not get them."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("Location", "/")
            self.end_headers()

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        fetcher = Fetcher(timeout_s=60, say=lambda _line: None)
        headers = (("X-Auth", "secret"), ("user-agent", "me"), ("Accept", "a/b"))
        url = f"http://127.0.0.1:{httpd.server_port}/"
        fetcher.fetch(f"{url}moved", headers)
        part = {"ignition": {"version": "2.0.0", "config": {"append": [{"source": url}]}}}
        assert ignition(part, "fetch").returncode == 1
        httpd.shutdown()
    first, second, third = ({k: v for k, v in one.items() if k in NAMES} for one in seen)
    assert first == {
        "x-auth": "secret",
        "user-agent": "me",
        "accept": "a/b",
        "accept-encoding": "identity",
    }
    assert second == {
        "user-agent": "Ignition/2.14.0",
        "accept": "application/vnd.coreos.ignition+json;version=3.3.0, */*;q=0.1",
        "accept-encoding": "identity",
    }
    assert "version=2.2.0, " in third["accept"]


def test_a_server_that_does_not_answer():
    """It is given as long as the config says."""
    said = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        fetcher = Fetcher(timeout_s=1.0, header_timeout_s=0.1, say=said.append)
        with pytest.raises(FetchError, match=r"i/o timeout \(no more attempts available\)"):
            fetcher.fetch(url)
    assert said[0] == f"GET {url}: attempt #1: i/o timeout"


NAMES = ("x-auth", "user-agent", "accept", "accept-encoding")

WORDS = [
    ([], "'--platform' must be provided", 2),
    (["--platform=x", "--stage=files"], "x is no platform", 2),
    (["--oem=file"], "'--stage' must be provided", 2),
    (["--oem=file", "--stage=x"], "x is no stage", 2),
    (["--nosuch"], "flag provided but not defined: -nosuch", 2),
]


@pytest.mark.parametrize(("words", "text", "code"), WORDS)
def test_wrong_words(words, text, code):
    done = subprocess.run(
        [*command("ignition"), *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert text in done.stderr.splitlines()[0]


def test_user_data_for_somebody_else_is_no_error(ignition, target):
    done = ignition("#cloud-config\nhostname: x\n", "files", f"--root={target}")
    assert done.returncode == 0
    assert "ignoring user-provided config" in done.stderr
    assert stat.S_ISDIR((target / "etc").stat().st_mode)
    result = json.loads((target / "etc/.ignition-result.json").read_text())
    assert result["userConfigProvided"] is False


def test_the_cache_serves_the_next_stage(ignition, target, tmp_path, server):
    argv = [*command("ignition"), "--platform=file", "--stage=files", f"--root={target}"]
    argv += [f"--config-cache={tmp_path}/cache.json", f"--state-file={tmp_path}/state"]

    def files():
        done = subprocess.run(
            argv,
            env=environment({**PATH, "IGNITION_CONFIG_FILE": "/nonexistent"}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads((target / "etc/.ignition-result.json").read_text())

    assert ignition("", "fetch").returncode == 0
    assert files()["userConfigProvided"] is False
    document = {
        "ignition": {"version": "3.0.0", "config": {"merge": [{"source": f"{server}/part.ign"}]}}
    }
    assert ignition(document, "fetch").returncode == 0
    cache = tmp_path / "cache.json"
    assert cache.stat().st_mode & 0o7777 == 0o640
    kept = json.loads(cache.read_text())
    assert kept["ignition"] == {"version": "3.0.0"}
    assert files()["userConfigProvided"] is True
    assert (target / "part").read_text() == "part"


def test_validate_command(tmp_path):
    good, bad = tmp_path / "good.ign", tmp_path / "bad.ign"
    good.write_text('{"ignition": {"version": "3.0.0"}}')
    bad.write_text('{"ignition": {"version": "3.0.0"}, "storage": {"files": [{"path": "a"}]}}')

    def validate(*words, data=""):
        done = subprocess.run(
            [*command("ignition-validate"), *words],
            env=environment(),
            input=data,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    assert validate(str(good)) == (0, "", "")
    assert validate("-", data=good.read_text()) == (0, "", "")
    assert validate(str(bad)) == (
        1,
        "error at $.storage.files.0.path, line 1 col 67: path not absolute\n",
        "",
    )
    code, out, err = validate("-", data="")
    assert (code, out, err) == (1, "", "couldn't parse config: not a config (empty)\n")
    code, out, err = validate(str(tmp_path / "none"))
    assert (code, err) == (1, f"couldn't read config: {tmp_path}/none: No such file or directory\n")
    assert validate()[0] == validate("a", "b")[0] == 1
    assert validate("-version")[:2] == (0, "Ignition 2.14.0\n")
