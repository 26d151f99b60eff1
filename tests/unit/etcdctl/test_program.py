"""etcdctl in this process against servers that answer from a table: words in, text out."""

from __future__ import annotations

import json

import pytest

from coreos_py.cli.program import load
from coreos_py.etcd.cmd_etcdctl import main
from coreos_py.etcd.ctl.output import show
from coreos_py.etcd.ctl.program import COMMANDS
from coreos_py.etcdclient.model import Node, Result
from tests.support.httpd import Httpd
from tests.support.procs import free_ports


@pytest.fixture
def run(capsys):
    """Run etcdctl, more patient than a second: (exit code, stdout, stderr)."""
    patience = ("--timeout", "60s", "--total-timeout", "120s")

    def run(*words):
        status = main(["etcdctl", *patience, *words])
        out, err = capsys.readouterr()
        return status, out, err

    return run


def answer(value="v", action="get", **node):
    data = {"key": "/k", "value": value, "modifiedIndex": 3, "createdIndex": 3, **node}
    return (200, json.dumps({"action": action, "node": data}).encode(), {"X-Etcd-Index": "7"})


def members(*urls):
    one = {"id": "abc", "name": "m", "peerURLs": ["http://p:1"], "clientURLs": list(urls)}
    return (200, json.dumps({"members": [one]}).encode())


UNAVAILABLE = "client: etcd cluster is unavailable or misconfigured"

# path answered, words, exit code, stderr ({url} is the server)
ANSWERS = [
    ("/v2/keys/k", (503, b""), ["get", "k"], 4,
     f"Error:  {UNAVAILABLE}\nerror #0: client: etcd member {{url}} has no leader\n\n"),
    ("/v2/keys/k", (504, b""), ["get", "k"], 4,
     f"Error:  {UNAVAILABLE}\n"
     "error #0: client: etcd member {url} returns server error [Gateway Timeout]\n\n"),
    ("/v2/keys/k", (200, b"garbage"), ["get", "k"], 4,
     "Error:  client: response is invalid json. The endpoint is probably not valid etcd cluster "
     "endpoint.\n"),
    ("/v2/keys/k", (200, b""), ["get", "k"], 4, "Error:  client: response body is empty\n"),
    ("/v2/keys/k", None, ["--no-sync", "--timeout", "500ms", "get", "k"], 4,
     f"Error:  {UNAVAILABLE}\nerror #0: client: endpoint {{url}} exceeded header timeout\n\n"),
    ("/v2/keys/k", None, ["--no-sync", "--total-timeout", "500ms", "get", "k"], 4,
     "Error:  context deadline exceeded\n"),
    ("/v2/members/leader", (503, b"{}"), ["member", "list"], 1,
     f"Failed to get leader:  {UNAVAILABLE}\n"),
    ("/v2/members/leader", (404, b"{}"), ["member", "list"], 1,
     "Failed to get leader:  unexpected status code 404\n"),
    ("/v2/members/abc", (404, b"{}"), ["member", "remove", "abc"], 1,
     "Received an error trying to remove member abc: unexpected status code 404"),
    ("/v2/members/abc", (500, b"{}"), ["member", "update", "abc", "http://a:1"], 1,
     f"{UNAVAILABLE}\n"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "reply", "words", "status", "err"), ANSWERS)
def test_bad_answers(run, path, reply, words, status, err):
    with Httpd({path: reply}) as server:
        server.routes["/v2/members"] = members(server.url)
        got = run("--endpoints", server.url, *words)
        assert got == (status, "", err.replace("{url}", server.url))


# what /v2/members says, exit code, last lines of stderr
SYNCS = [
    ((200, b'{"members":null}'), 4,
     "etcd cluster has no published client endpoints.\n"
     "Try '--no-sync' if you want to access non-published client endpoints({url}).\n"
     "Error:  client: no endpoints available\n"),
    ((200, b"garbage"), 4,
     "Error:  client: response is invalid json. The endpoint is probably not valid etcd cluster "
     "endpoint.\n"),
    ((404, b""), 4, "Error:  unexpected status code 404\n"),
    ((500, b""), 4,
     f"Error:  {UNAVAILABLE}\nerror #0: client: etcd member {{url}} has no leader\n\n"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "status", "err"), SYNCS)
def test_failing_synchronisation(run, reply, status, err):
    with Httpd({"/v2/members": reply}) as server:
        got = run("--endpoints", server.url, "get", "k")
        assert got == (status, "", err.replace("{url}", server.url))


def test_a_synchronisation_that_takes_too_long(run):
    with Httpd({"/v2/members": None}) as server:
        words = ["--endpoints", server.url, "--timeout", "0", "--total-timeout", "200ms"]
        assert run(*words, "get", "k") == (2, "", "Error:  context deadline exceeded\n")
        status, out, err = run(*words, "cluster-health")
        assert (status, err) == (4, "Error:  context deadline exceeded\n")
        assert out == "cluster may be unhealthy: failed to list members\n"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["role", "grant", "r", "--path"], 1),
        (["role", "grant", "r", "--read", "--path"], 1),
        (["user", "grant", "u", "--roles"], 1),
        (["role", "grant", "--path"], 0),
        (["set", "/k", "v", "--ttl"], 0),
    ],
)
def test_a_flag_at_the_end_lacks_its_value(run, words, status):
    """etcdctl 2.3.8 takes an argument for the value, and lacks that; or shows its help."""
    got, _, err = run(*words)
    assert (got, err) == (status, f"etcdctl: flag needs an argument: {words[-1][1:]}\n")


def test_an_empty_flag_does_not_hide_its_variable(run, monkeypatch):
    with Httpd({"/v2/keys/k": answer()}) as server:
        monkeypatch.setenv("ETCDCTL_ENDPOINTS", server.url)
        assert run("--no-sync", "--endpoints", "", "get", "k") == (0, "v\n", "")


def test_synchronisation_replaces_the_endpoints(run):
    with Httpd({"/v2/keys/k": answer("published")}) as published, Httpd({}) as given:
        given.routes["/v2/members"] = members(published.url)
        assert run("--endpoints", given.url, "get", "k") == (0, "published\n", "")
        given.routes["/v2/keys/k"] = answer("given")
        assert run("--no-sync", "--endpoints", given.url, "get", "k") == (0, "given\n", "")


def test_etcd_0_4_tells_its_machines_elsewhere(run):
    with Httpd({"/v2/keys/k": answer("new")}) as machine:
        peers = f"{machine.url}, {machine.url}".encode()
        with Httpd({"/v2/peers": (200, peers)}) as old:
            assert run("--endpoints", old.url, "get", "k") == (0, "new\n", "")


def test_scheme_is_added_where_it_is_missing(run):
    with Httpd({"/v2/keys/k": answer()}) as server:
        server.routes["/v2/members"] = members(server.url)
        bare = server.url.removeprefix("http://")
        assert run("--endpoints", f" {bare} ,", "get", "k") == (0, "v\n", "")
        assert run("-C", bare, "get", "k") == (0, "v\n", "")


@pytest.mark.parametrize(
    ("flags", "status", "err"),
    [
        (["--endpoints", "http://a b:1"], 1,
         'parse "http://a b:1": invalid character " " in host name\n'),
        (["--endpoints", "http://h:x"], 1, 'parse "http://h:x": invalid port ":x" after host\n'),
        (["--endpoints", "ftp://h:1"], 4, 'Error:  unsupported protocol scheme "ftp"\n'),
        (["--total-timeout", "1ns", "--endpoints", "http://127.0.0.1:1"], 2,
         "Error:  dial tcp 127.0.0.1:1: i/o timeout\n"),
        (["--ca-file", "/nonexistent"], 1, "open /nonexistent: no such file or directory\n"),
        (["--cert-file", "/c"], 1, "KeyFile and CertFile must both be present[key: , cert: /c]\n"),
    ],
)  # fmt: skip
def test_flags_that_cannot_be_used(run, flags, status, err):
    assert run(*flags, "get", "k") == (status, "", err)


HEALTH = [
    ((200, b'{"health": "true"}'), 0, "healthy: got healthy result from {url}"),
    ((200, b'{"health": true}'), 0, "healthy: got healthy result from {url}"),
    ((503, b'{"health": "false"}'), 5, "unhealthy: got unhealthy result from {url}"),
    ((200, b'{"x": 1}'), 5, "unhealthy: got unhealthy result from {url}"),
    ((200, b'{"health": 1}'), 5, "unhealthy: got unhealthy result from {url}"),
]


@pytest.mark.parametrize(("reply", "status", "line"), HEALTH)
def test_cluster_health(run, reply, status, line):
    with Httpd({"/health": reply}) as server:
        server.routes["/v2/members"] = members(server.url)
        word = "unhealthy" if status else "healthy"
        expected = f"member abc is {line.replace('{url}', server.url)}\ncluster is {word}\n"
        assert run("--endpoints", server.url, "cluster-health") == (status, expected, "")


def test_cluster_health_of_members_that_cannot_be_asked(run):
    dead = [f"http://127.0.0.1:{port}" for port in free_ports(2)]
    with Httpd({"/v2/members": members()}) as server:
        assert run("--endpoints", server.url, "cluster-health") == (
            5,
            "member abc is unreachable: no available published client urls\ncluster is unhealthy\n",
            "",
        )
        server.routes["/v2/members"] = members(*dead)
        lines = [
            f"failed to check the health of member abc on {url}: "
            f'Get "{url}/health": dial tcp {url.removeprefix("http://")}: connect: '
            "connection refused\n"
            for url in dead
        ]
        lines.append(f"member abc is unreachable: [{' '.join(dead)}] are all unreachable\n")
        status, out, err = run("--endpoints", server.url, "cluster-health")
        assert (status, out, err) == (5, "".join([*lines, "cluster is unhealthy\n"]), "")
        server.routes["/v2/members"] = members(dead[0], server.url)
        server.routes["/health"] = (200, b"nonsense")
        status, out, err = run("--endpoints", server.url, "cluster-health")
        assert (status, err) == (5, "")
        problem = f"on {server.url}: invalid character 'n' looking for beginning of value\n"
        assert problem in out


def test_unstarted_and_leading_members(run):
    listed = {
        "members": [
            {"id": "a", "name": "", "peerURLs": ["http://p:1"], "clientURLs": []},
            {"id": "b", "name": "n", "peerURLs": ["http://p:1", "http://q:2"], "clientURLs": ["u"]},
        ]
    }
    routes = {
        "/v2/members": (200, json.dumps(listed).encode()),
        "/v2/members/leader": (200, b'{"id":"b"}'),
    }
    with Httpd(routes) as server:
        assert run("--no-sync", "--endpoints", server.url, "member", "list") == (
            0,
            "a[unstarted]: peerURLs=http://p:1\n"
            "b: name=n peerURLs=http://p:1,http://q:2 clientURLs=u isLeader=true\n",
            "",
        )


def test_member_add_prints_the_environment_of_the_new_member(run):
    listed = [
        {"id": "a", "name": "old", "peerURLs": ["http://p:1"], "clientURLs": ["u"]},
        {"id": "b", "name": "", "peerURLs": ["http://q:2"], "clientURLs": []},
    ]

    def route(asked):
        if asked.method == "POST":
            assert json.loads(asked.body) == {"peerURLs": ["http://q:2"]}
            return (201, json.dumps(listed[1]).encode())
        return (200, json.dumps({"members": listed}).encode())

    with Httpd({"/v2/members": route}) as server:
        words = ["--no-sync", "--endpoints", server.url, "member", "add", 'n"ew', "http://q:2"]
        assert run(*words) == (
            0,
            'Added member named n"ew with ID b to cluster\n\n'
            'ETCD_NAME="n\\"ew"\n'
            'ETCD_INITIAL_CLUSTER="old=http://p:1,n\\"ew=http://q:2"\n'
            'ETCD_INITIAL_CLUSTER_STATE="existing"\n',
            "",
        )


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["set", "k", "-5"], b"value=-5"),
        (["set", "k", "-1.5", "--ttl", "7"], b"ttl=7&value=-1.5"),
        (["set", "--ttl", "7", "k", "-----BEGIN KEY-----"], b"ttl=7&value=-----BEGIN+KEY-----"),
        (["mk", "k", "- item"], b"value=-+item"),
        (["update", "k", "-flag with words"], b"value=-flag+with+words"),
        (["set", "--", "k", "-ttl"], b"value=-ttl"),
        (["set", "k", "--", "-ttl"], b"value=-ttl"),
        (["set", "k", "-"], b"value=-"),
        (["set", "k", "v", "-ttl=3"], b"ttl=3&value=v"),
        (["set", "k", "--ttl", "3", "v"], b"ttl=3&value=v"),
    ],
)
def test_values_that_begin_with_a_dash(run, words, body):
    with Httpd({"/v2/keys/k": answer("stored", "set")}) as server:
        status, out, _err = run("--no-sync", "--endpoints", server.url, *words)
        assert (status, out) == (0, "stored\n")
        assert server.asked[0].body == body


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["set", "k", "-nosuch"], "flag provided but not defined: -nosuch"),
        (["set", "k", "--nosuch=1"], "flag provided but not defined: -nosuch"),
        (["set", "-5", "k"], "flag provided but not defined: -5"),
        (["set", "k", "v", "-5"], "flag provided but not defined: -5"),
        (["set", "k", "-5", "-6"], "flag provided but not defined: -5"),
        (["get", "k", "-5"], "flag provided but not defined: -5"),
        (["--nosuch", "get", "k"], "flag provided but not defined: -nosuch"),
        (["set", "k", "v", "--ttl"], "flag needs an argument: -ttl"),
        (["set", "k", "v", "--ttl", "x"], 'invalid value "x" for flag -ttl: parse error'),
        (["ls", "---p"], "bad flag syntax: ---p"),
    ],
)
def test_incorrect_usage_exits_0_as_upstream_but_names_the_problem(run, words, problem):
    status, out, err = run(*words)
    assert status == 0
    assert out.startswith("Incorrect Usage.\n\nNAME:\n   etcdctl")
    assert err == f"etcdctl: {problem}\n"


def leaves(commands):
    for command in commands:
        if command.commands:
            yield from leaves(command.commands)
        else:
            yield command


def test_help_lists_every_command_and_each_can_be_run(run):
    status, out, err = run("help")
    assert (status, err) == (0, "")
    for command in COMMANDS:
        assert f"\n   {command.name} " in out
    for command in leaves(COMMANDS):
        assert callable(load(command.target)), command.name


def test_formats_of_a_nested_answer(capsys):
    node = {
        "key": "/d",
        "dir": True,
        "nodes": [{"key": "/d/\u2028", "value": "<\udcff>", "ttl": 5, "expiration": "T"}],
        "modifiedIndex": 2,
        "createdIndex": 1,
    }
    show(Result("delete", Node(node), Node({"value": "old"}), etcd_index=9), "json")
    assert capsys.readouterr().out == (
        '{"action":"delete","node":{"key":"/d","dir":true,"value":"","nodes":[{"key":"/d/\\u2028",'
        '"value":"\\u003c\\ufffd\\u003e","nodes":null,"createdIndex":0,"modifiedIndex":0,'
        '"expiration":"T","ttl":5}],"createdIndex":1,"modifiedIndex":2},"prevNode":{"key":"",'
        '"value":"old","nodes":null,"createdIndex":0,"modifiedIndex":0}}\n'
    )
    show(Result("delete", Node(node), Node({"value": "old"}), etcd_index=9), "extended")
    assert capsys.readouterr().out == (
        "Key: /d\nCreated-Index: 1\nModified-Index: 2\nPrevNode.Value: old\nTTL: 0\nIndex: 9\n"
    )
    show(Result("delete", Node(node), None), "simple")
    assert capsys.readouterr().out == "PrevNode.Value: \n"
