"""locksmithctl in this process: words in, text and exit code out."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from coreos_py.locksmith.cmd_locksmithctl import main
from coreos_py.locksmith.ctl import session
from tests.support.httpd import Httpd

UNAVAILABLE = "client: etcd cluster is unavailable or misconfigured"
CLIENT = "Error initializing etcd client:"


@pytest.fixture
def run(capsys):
    """Run locksmithctl: (exit code, stdout, stderr)."""

    def run(*words):
        status = main(["locksmithctl", *words])
        out, err = capsys.readouterr()
        return status, out, err

    return run


UNDEFINED = "flag provided but not defined: -3"
NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--version"], (0, "locksmithctl version 0.6.2+git\n", "")),
        (["set-max"], (1, "", "New maximum value must be set.\n")),
        (["set-max", "1", "2"], (1, "", "New maximum value must be set.\n")),
        (["set-max", "-3"], (2, f"{UNDEFINED}\n", f"{UNDEFINED}\nUsage:\n")),
        (["lock", "-h"], (2, "flag: help requested\n", "Usage:\n")),
        (["help", "nosuch"], (1, "Unrecognized command: nosuch\n", "")),
        (
            ["nosuch"],
            (
                2,
                'locksmithctl: unknown subcommand: "nosuch"\n'
                "Run 'locksmithctl help' for usage.\n",
                "",
            ),
        ),
        (["-endpoint", NOWHERE, "status"], (1, "", f"{CLIENT} {UNAVAILABLE}\n")),
        (
            ["-endpoint", "127.0.0.1:2379", "status"],
            (
                1,
                "",
                f'{CLIENT} parse "127.0.0.1:2379": first path segment in URL cannot contain '
                "colon\n",
            ),
        ),
        (
            ["-endpoint=:1", "status"],
            (1, "", f'{CLIENT} parse ":1": missing protocol scheme\n'),
        ),
        (
            ["--etcd-cafile", "/dev/null", "status"],
            (1, "", f"{CLIENT} open : no such file or directory\n"),
        ),
    ],
)
def test_answers(run, words, answer):
    assert run(*words) == answer


def test_flags_are_listed_on_stderr(run):
    status, out, err = run("-h")
    assert (status, out) == (0, "")
    assert err.startswith("Usage of locksmithctl:\n  -debug\n    \t")
    status, out, told = run("-nosuchflag")
    assert (status, out) == (2, "")
    assert told == f"flag provided but not defined: -nosuchflag\n{err}"


def test_help(run):
    assert run() == run("help")
    status, out, err = run("help", "lock")
    assert (status, err) == (0, "")
    assert out.endswith('\nFor help on global options run "locksmithctl help"\n')
    assert run("help", "lock", "nosuch") == (0, out, "")


def test_bad_environment_is_named(run, monkeypatch):
    monkeypatch.setenv("LOCKSMITHCTL_DEBUG", "maybe")
    text = 'invalid value "maybe" for LOCKSMITHCTL_DEBUG: parse error\n'
    assert run("status") == (1, "", text)


KEY = "/v2/keys/coreos.com/updateengine/rebootlock/semaphore"
NOTES = "/v2/keys/coreos.com/updateengine/rebootlock/x-holders"
FREE = '{"semaphore":2,"max":2,"holders":["b"]}'


def refused(code, message, cause, index):
    data = {"errorCode": code, "message": message, "cause": cause, "index": index}
    return (412, json.dumps(data).encode())


def stored(value, index):
    node = {"key": KEY.removeprefix("/v2/keys"), "value": value, "modifiedIndex": index}
    return (200, json.dumps({"action": "get", "node": node}).encode())


NODE_EXIST = refused(105, "Key already exists", "/k", 9)


def lost(before, now):
    return refused(101, "Compare failed", f"[{before} != {now}]", now)


def test_what_goes_over_the_wire(run):
    changed = stored('{"semaphore":1,"max":2,"holders":["a","b"]}', 5)
    old_notes = stored('{"index":4,"since":{"b":"2026-11-21T10:00:00Z"}}', 3)
    routes = {KEY: [NODE_EXIST, stored(FREE, 4), changed], NOTES: [old_notes, old_notes]}
    with Httpd(routes) as server:
        words = ("-endpoint", server.url, "-etcd-username", "u", "-etcd-password", "p")
        assert run(*words, "lock", "a") == (0, "", "")
    assert [(item.method, item.target) for item in server.asked] == [
        ("PUT", f"{KEY}?prevExist=false"),
        ("GET", f"{KEY}?quorum=true&recursive=false&sorted=false"),
        ("PUT", f"{KEY}?prevIndex=4"),
        ("GET", f"{NOTES}?quorum=true&recursive=false&sorted=false"),
        ("PUT", NOTES),
    ]
    initial, _, new, _, noted = [item.body.decode() for item in server.asked]
    assert initial == "value=%7B%22semaphore%22%3A1%2C%22max%22%3A1%2C%22holders%22%3Anull%7D"
    assert new.endswith("%22holders%22%3A%5B%22a%22%2C%22b%22%5D%7D")
    assert {item.authorization for item in server.asked} == {"Basic dTpw"}
    (note,) = parse_qs(noted)["value"]
    found = json.loads(note)
    assert (found["index"], sorted(found["since"])) == (5, ["a", "b"])
    assert found["since"]["b"] == "2026-11-21T10:00:00Z"


def test_a_lost_race_is_run_again_on_what_won(run):
    full = '{"semaphore":0,"max":2,"holders":["b","c"]}'
    answers = [
        NODE_EXIST,
        stored(FREE, 4),
        lost(4, 5),
        stored(FREE, 5),
        lost(5, 6),
        stored(full, 6),
    ]
    with Httpd({KEY: answers}) as server:
        said = run("-endpoint", server.url, "lock", "a")
    assert said == (1, "", "Error locking: semaphore is at 0\n")
    writes = [item.target for item in server.asked if item.method == "PUT"]
    assert [target.partition("?")[2] for target in writes[1:]] == ["prevIndex=4", "prevIndex=5"]


def test_races_are_not_run_for_ever(run):
    def etcd(asked):
        if asked.method == "GET":
            return stored(FREE, 4)
        return NODE_EXIST if "prevExist" in asked.target else lost(4, 5)

    with Httpd({KEY: etcd}) as server:
        said = run("-endpoint", server.url, "set-max", "7")
    assert said == (1, "", "Error setting value: 101: Compare failed ([4 != 5]) [5]\n")
    assert len(server.asked) == 1 + 2 * 64


def test_users_are_asked_for(run):
    data = {"errorCode": 110, "message": "The request requires user authentication"}
    body = json.dumps({**data, "cause": "Insufficient credentials", "index": 0}).encode()
    with Httpd({KEY: (401, body)}) as server:
        code, out, err = run("-endpoint", server.url, "status")
    text = "110: The request requires user authentication (Insufficient credentials) [0]"
    assert (code, out, err) == (1, "", f"{CLIENT} {text}\n")


def test_endpoints_are_lists_and_may_be_repeated(run):
    with Httpd({KEY: [NODE_EXIST, stored(FREE, 4)]}) as server:
        words = ("--endpoint", f"{NOWHERE}, {NOWHERE}", "--endpoint", server.url, "--debug")
        code, out, err = run(*words, "status")
    assert (code, out) == (0, "Available: 2\nMax: 2\n\nMACHINE ID\nb\n")
    assert f"GET {server.url}{KEY}?quorum=true" in err


def test_the_api_is_one_of_two(run):
    text = f"{CLIENT} etcd-api: 'v4' is neither v2 nor v3\n"
    assert run("--etcd-api", "v4", "status") == (1, "", text)


@pytest.mark.parametrize(
    ("text", "code", "err"),
    [
        (" 69d2\n", 1, "Error unlocking: holder does not exist\n"),
        ("\n", 1, "Cannot read machine-id\n"),
        (None, 1, "Cannot read machine-id\n"),
    ],
)
def test_this_machine(run, monkeypatch, tmp_path, text, code, err):
    path = tmp_path / "machine-id"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(session, "MACHINE_ID_FILE", str(path))
    held = '{"semaphore":1,"max":2,"holders":["69d27"]}'
    with Httpd({KEY: [NODE_EXIST, stored(held, 4)]}) as server:
        assert run("-endpoint", server.url, "unlock") == (code, "", err)
