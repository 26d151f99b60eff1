"""updatectl in this process against what updateservicectl 2.1.0 was seen to do.

Each record: the words, what the server answered, and what came of it: requests, output, exit code.
`stdout` is null where upstream shows a help text, which we have in words of our own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from coreos_py.http import hawk
from coreos_py.updatectl.cmd_updatectl import main
from tests.support.httpd import Httpd

DATA = Path(__file__).parents[2] / "data" / "updatectl" / "recorded.json"
RECORDS = json.loads(DATA.read_text())
KEY = "secret key"
SHOWN = ("Content-Type", "User-Agent")
DATE = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d")


class Server(Httpd):
    """Gives the same answers whatever the path."""

    def __init__(self) -> None:
        super().__init__({})
        self.answers: list[tuple[int, bytes]] = []

    def answer(self, asked):
        self.asked.append(asked)
        return self.answers.pop(0) if self.answers else (200, b"{}")


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


@pytest.fixture
def run(server, monkeypatch, capsys):
    """Run it under its other name: (exit code, stdout, stderr), the server's name replaced."""
    monkeypatch.setenv("UPDATECTL_SERVER", f"{server.url}/")
    monkeypatch.setenv("UPDATECTL_USER", "usr")
    monkeypatch.setenv("UPDATECTL_KEY", KEY)
    server.asked.clear()

    def run(*words, name="updateservicectl"):
        status = main([name, *words])
        out, err = (text.replace(host(server), "HOST") for text in capsys.readouterr())
        return status, out, DATE.sub("DATE", err)

    return run


def host(server):
    return server.url.removeprefix("http://")


def is_signed(asked, server):
    target, mark, query = asked.target.partition("?")
    return hawk.is_signed(
        KEY,
        hawk.parse(asked.authorization),
        method=asked.method,
        target=f"{unquote(target)}{mark}{query}",
        host="127.0.0.1",
        port=host(server).rpartition(":")[2],
    )


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: " ".join(record["args"]) or "-")
def test_same_as_upstream(record, server, run):
    server.answers = [(status, body.encode()) for status, body in record["answers"]]
    status, out, err = run(*record["args"])
    requests = [
        [a.method, a.target, {n: v for n, v in a.headers.items() if n in SHOWN}, a.body.decode()]
        for a in server.asked
    ]
    assert requests == record["requests"]
    assert all(is_signed(a, server) for a in server.asked if a.target != "/admin/v1/init")
    assert (status, err) == (record["rc"], record["stderr"])
    if record["stdout"] is None:
        assert out.startswith("NAME:\n   updateservicectl")
    else:
        assert out == record["stdout"]


def test_a_package_is_made_of_the_payloads_sums(run, server, tmp_path, monkeypatch):
    # 2.1.0 sends the sums of the metadata when there is some.
    monkeypatch.chdir(tmp_path)
    Path("pay").write_bytes(b"testing\n")
    Path("meta").write_text('{"metadata_size":"12","metadata_signature_rsa":"abc<>&"}')
    Path("notes").write_text('Line "1"\n<b>')
    server.answers = [(200, b'{"version":"1.0.0","url":"http://h/pay","size":"8"}')]
    flags = ["--file=pay", "--meta=meta", "--release-notes=notes", "--url=http://h/pay"]
    body = (
        '{\n "metadataSignatureRsa": "abc\\u003c\\u003e\\u0026",\n "metadataSize": "12",\n'
        ' "releaseNotes": "Line \\"1\\"\\n\\u003cb\\u003e",\n'
        ' "sha1Sum": "mAFznarkTsUpPU4fU9P00tQm2Rw=",\n'
        ' "sha256Sum": "EqYfThc/s6EcBdZHH3Ryj3YjG0pfzZZnzvOvh6OuTcI=",\n'
        ' "size": "8",\n "url": "http://h/pay"\n}\n'
    )
    table = "Version\tURL\t\tSize\n1.0.0\thttp://h/pay\t8\n"
    assert run("package", "create", "--app-id=a", "--version=1.0.0", *flags) == (
        0,
        body + table,
        "",
    )
    assert json.loads(server.asked[0].body) == json.loads(body)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], "stat of  failed: stat : no such file or directory"),
        (["--file=no"], "stat of no failed: stat no: no such file or directory"),
        (["--file=."], "reading . failed: read .: is a directory"),
        (["--file=pay", "--meta=no"], "reading no failed: open no: no such file or directory"),
        (["--file=pay", "--meta=pay"], "reading pay failed: Expecting value: line 1 column 1"),
        (["--file=pay", "--release-notes=no"], "reading no failed: open no: no such file or"),
    ],
)
def test_files_that_cannot_be_read(run, tmp_path, monkeypatch, flags, text):
    monkeypatch.chdir(tmp_path)
    Path("pay").write_bytes(b"testing\n")
    status, out, err = run("package", "create", "--app-id=a", "--version=1.0.0", *flags)
    assert (status, out) == (1, "")
    assert err.startswith(f"DATE {text}")
    assert err.count("\n") == 1


def test_an_upload_is_a_form_as_go_writes_it(run, server, tmp_path):
    (tmp_path / "pay").write_bytes(b"testing\n")
    server.answers = [(200, b"ok")]
    path = str(tmp_path / "pay")
    assert run("package", "upload", f"--file={path}") == (0, f"uploaded file {path}\n", "")
    (asked,) = server.asked
    kind, mark = asked.headers["Content-Type"].split("; boundary=")
    assert (kind, re.fullmatch("[0-9a-f]{60}", mark) is not None) == ("multipart/form-data", True)
    assert asked.body.decode().split("\r\n") == [
        f"--{mark}",
        'Content-Disposition: form-data; name="file"; filename="pay"',
        "Content-Type: application/octet-stream",
        "",
        "testing\n",
        f"--{mark}--",
        "",
    ]
    assert is_signed(asked, server)


def test_an_upload_that_is_refused_half_way(run, server, tmp_path):
    (tmp_path / "pay").write_bytes(bytes(4 << 20))
    server.answers = [(403, b"no")]
    status, out, _ = run("package", "upload", f"--file={tmp_path / 'pay'}")
    assert (status, out.splitlines()[:2]) == (
        2,
        ["error uploading file", "error uploading file no"],
    )


def test_bulk_goes_on_after_an_error_and_says_so(run, server, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x")
    server.answers = [(409, b"there already"), (200, b"ok")]
    status, out, err = run("package", "upload", "bulk", f"--dir={tmp_path}")
    assert (status, out) == (
        1,
        "error uploading a: error uploading file there already\nuploaded b\n",
    )
    assert err == "DATE Package payloads uploaded. Total=2 Errors=1\n"
    (tmp_path / "a_1.0.0_info.json").write_text(
        '{"appId":"a1","version":"1.0.0","url":"http://h/p/x.gz","size":"8"}'
    )
    (tmp_path / "b_info.json").write_text("[")
    server.asked.clear()
    status, out, err = run(
        "package", "create", "bulk", f"--dir={tmp_path}", "--base-url=http://b/q"
    )
    assert (status, out) == (1, "")
    assert err.splitlines()[0] == "DATE Creating package with AppId=a1 and Version=1.0.0"
    assert err.splitlines()[-2:] == [
        "DATE Package metadata uploaded. Total=2 Errors=1",
        "DATE Please upload payloads to http://b/q.",
    ]
    (asked,) = server.asked
    assert json.loads(asked.body)["url"] == "http://b/q/a1_1.0.0_x.gz"


def test_without_a_user_the_key_is_a_token(run, server, monkeypatch):
    monkeypatch.setenv("UPDATECTL_USER", "")
    run("app", "list")
    assert server.asked[0].authorization == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("server_url", "text"),
    [
        ("127.0.0.1:1", 'parse "127.0.0.1:1": missing protocol scheme'),
        ("ftp://h", 'unsupported protocol scheme "ftp"'),
        ("http://127.0.0.1:1", "dial tcp 127.0.0.1:1: connect: connection refused"),
    ],
)
def test_servers_that_are_none(run, monkeypatch, server_url, text):
    monkeypatch.setenv("UPDATECTL_SERVER", server_url)
    asked = f"{server_url}/_ah/api/update/v1/apps?alt=json"
    assert run("app", "list") == (1, "", f'DATE Get "{asked}": {text}\n')


@pytest.mark.parametrize("user", ['a"b', "a\nb", "é"])
def test_users_that_no_header_can_carry(run, monkeypatch, user):
    monkeypatch.setenv("UPDATECTL_USER", user)
    text = "DATE the user has a character that cannot stand in a header\n"
    assert run("app", "list") == (1, "", text)


@pytest.mark.parametrize(
    "body",
    [b"nonsense", b"[]", b'{"items":5}', b'{"items":[{"id":3}]}', b'{"items":[[]]}', b"\xff"],
)
def test_answers_that_make_no_sense(run, server, body):
    server.answers = [(200, body)]
    status, out, err = run("app", "list")
    assert (status, out, err.count("\n")) == (1, "", 1)


def test_the_default_rollout_takes_a_day_in_minutes(run, server):
    words = ["rollout", "create", "linear", "--app-id=a", "--group-id=g"]
    assert run(*words)[:2] == (0, "rollout set\n")
    frames = json.loads(server.asked[0].body)["rollout"]
    assert len(frames) == 1441
    assert sum(int(frame.get("duration", "0")) for frame in frames) == 86_400
    assert frames[-1] == {"percent": 100}
    percents = [frame["percent"] for frame in frames]
    assert percents == [*sorted(percents[:-1]), 100]


@pytest.mark.parametrize("flags", [["--frame-size=-1"], ["--duration=99999999999"]])
def test_rollouts_without_an_end(run, flags):
    status, out, err = run("rollout", "create", "linear", "--app-id=a", "--group-id=g", *flags)
    assert (status, out, err.count("\n")) == (1, "", 1)


def test_help_of_every_command(run, capsys):
    from coreos_py.updatectl.table import COMMANDS

    def walk(commands, path):
        for command in commands:
            words = [*path, command.name]
            assert run("help", *words)[0] == 0
            status, out, err = run(*words, "-h", name="updatectl")
            assert (status, err) == (2, "")
            assert out.startswith(f"NAME:\n   updatectl {' '.join(words)} - ")
            assert out.endswith('For help on global options run "updatectl --help"\n')
            walk(command.commands, words)

    walk(COMMANDS, [])


def test_a_download_is_checked(run, server, tmp_path):
    from base64 import b64encode
    from hashlib import sha1, sha256

    payload = b"payload"
    sums = {
        "sha1Sum": b64encode(sha1(payload, usedforsecurity=False).digest()).decode(),
        "sha256Sum": b64encode(sha256(payload).digest()).decode(),
        "size": str(len(payload)),
    }
    good = {"appId": "a", "version": "1.0.0", "url": f"{server.url}/p/x.gz", **sums}
    for change, reason in [
        ({"size": "8"}, "Download size does not match package size. 7 != 8"),
        ({"sha1Sum": "x"}, f"SHA1 sums do not match: x != {sums['sha1Sum']}"),
        ({"sha256Sum": "x"}, f"SHA256 sums do not match: x != {sums['sha256Sum']}"),
        ({"url": "ftp://h/x"}, "Cannot download package with scheme ftp"),
        ({"version": "../../x"}, "is no name for a file"),
        ({}, ""),
    ]:
        listing = {"items": [{"AppId": "a", "packages": [{**good, **change}]}]}
        server.answers = [(200, json.dumps(listing).encode()), (200, payload)]
        status, out, err = run("package", "download", f"--dir={tmp_path / 'd'}")
        assert (status, out) == (1 if reason else 0, "")
        assert reason in err
        assert err.startswith("DATE Downloading 1 packages.\n")
        if reason:
            assert list((tmp_path / "d").iterdir()) == []
    assert (tmp_path / "d" / "a_1.0.0_x.gz").read_bytes() == payload
    assert json.loads((tmp_path / "d" / "a_1.0.0_info.json").read_text()) == good


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        ([], 3),
        (["--app-id=a"], 3),
        (["--app-id=b"], 0),
        (["--version=1.10.0"], 1),
        (["--min-version=1.2.0"], 2),
        (["--min-version=1.10.0-rc.1"], 1),
    ],
)
def test_downloads_are_chosen(run, server, tmp_path, flags, count):
    packages = [{"version": v, "url": "ftp://h/x"} for v in ("1.2.0-beta", "1.2.0", "1.10.0")]
    listing = {"items": [{"AppId": "a", "packages": packages}]}
    server.answers = [(200, json.dumps(listing).encode())]
    _, _, err = run("package", "download", f"--dir={tmp_path}", *flags)
    assert err.startswith(f"DATE Downloading {count} packages.\n")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--min-version=1.2"], "1.2 is not in dotted-tri format"),
        (["--min-version=1.2.x"], 'strconv.ParseInt: parsing "x": invalid syntax'),
        (["--version=1", "--min-version=1.0.0"], "Please use either -version or -min-version"),
    ],
)
def test_downloads_that_are_asked_for_wrongly(run, flags, text):
    status, _, err = run("package", "download", *flags)
    assert (status, err.startswith(f"DATE {text}")) == (2, True)


def test_what_is_missing_is_said_under_our_name(run):
    status, out, err = run("group", "percent", "--group-id=g", name="updatectl")
    assert (status, err) == (2, "updatectl group percent: needs --app-id and --update-percent\n")
    assert out.startswith("NAME:\n   updatectl group percent - ")


def test_every_command_that_needs_something_has_it():
    from coreos_py.updatectl.table import COMMANDS, NEEDS

    def walk(commands):
        for command in commands:
            names = {setting.name for setting in command.settings}
            assert names >= set(NEEDS.get(command.target, ())), command.name
            seen.add(command.target)
            walk(command.commands)

    seen: set[str] = set()
    walk(COMMANDS)
    assert set(NEEDS) <= seen
