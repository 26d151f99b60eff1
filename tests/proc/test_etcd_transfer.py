"""etcdctl export and import between clusters, and imports of snapshots."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.support.procs import EtcdCluster, command, environment

pytestmark = pytest.mark.proc


def etcdctl(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command("etcdctl"), *words],
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    with EtcdCluster(tmp_path_factory.mktemp("one"), 1) as cluster:
        yield cluster.members[0]


@pytest.fixture
def tree(member):
    """Something of everything, removed afterwards."""
    member.put("/t/a", "v\n\u00fc\U0001f600")
    member.put("/t/empty", "", "dir=true")
    member.put("/t/timed", "", "dir=true&ttl=500")
    member.put("/t/timed/x", "x", "ttl=100")
    member.put("/t/_hidden/x", "h")
    yield member
    member.request("DELETE", "/v2/keys/t?recursive=true")


def state(member, key="/t"):
    """{key: (value or None, whether it has a ttl, and a long one)}"""
    found = {}

    def walk(node):
        ttl_s = node.get("ttl", 0)
        found[node["key"]] = (node.get("value"), ttl_s > 0, ttl_s > 200)
        for child in node.get("nodes", ()):
            walk(child)

    walk(member.get(key, "recursive=true").json()["node"])
    return found


def test_there_and_back(tree):
    url = ["--endpoints", tree.client_url]
    before, hidden = state(tree), state(tree, "/t/_hidden")
    done = etcdctl(*url, "export", "/t", "--hidden", "/t/_hidden")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert json.loads(lines[0])["format"] == "etcd-export"
    assert json.loads(lines[-1]) == {"count": len(lines) - 2}
    tree.request("DELETE", "/v2/keys/t?recursive=true")
    for _ in range(2):  # over nothing, and over itself
        back = etcdctl(*url, "import", "--snap", "-", stdin=done.stdout)
        assert (back.returncode, back.stderr) == (0, "")
        text = "starting to import snapshot - with 10 clients\nfinished importing 3 keys\n"
        assert back.stdout == text
        assert state(tree) == before
        assert state(tree, "/t/_hidden") == hidden


def test_a_snapshot_has_hidden_keys(tree, tmp_path):
    url = ["--endpoints", tree.client_url]
    file = str(tmp_path / "copy.snap")
    assert etcdctl(*url, "snapshot", "save", file).returncode == 0
    before = state(tree)
    done = etcdctl("export", "--snap", file, "/t")
    assert done.returncode == 0
    keys = [json.loads(line).get("key") for line in done.stdout.splitlines()[1:-1]]
    assert keys == ["/t", "/t/_hidden", "/t/_hidden/x", "/t/a", "/t/empty", "/t/timed",
                    "/t/timed/x"]  # fmt: skip
    tree.request("DELETE", "/v2/keys/t?recursive=true")
    assert etcdctl(*url, "import", "--snap", "-", stdin=done.stdout).returncode == 0
    assert state(tree) == before

    tree.request("DELETE", "/v2/keys/t?recursive=true")
    done = etcdctl(*url, "import", "--snap", file)
    assert done.returncode == 0
    told = [line.partition(" I | ")[2] for line in done.stderr.splitlines()]
    assert "entering dir: /t/timed" in told
    extended = "extending key /t/timed/x's ttl to 300 seconds"
    assert told.index("copying key: /t/timed/x") < told.index(extended)
    assert tree.get("/t/_hidden").status == 404
    assert tree.get("/t/empty").status == 404
    assert tree.get("/t/timed/x").json()["node"]["ttl"] > 200
    assert etcdctl(*url, "import", "--snap", file, "--hidden", "/t/_hidden").returncode == 0
    assert tree.value("/t/_hidden/x") == "h"


def test_a_store_of_0_4(member, tmp_path):
    """The bare JSON of the store, keys at the top."""

    def node(path, **rest):
        return {"Path": path, "CreatedIndex": 1, "ModifiedIndex": 1, "ACL": "",
                "ExpireTime": "0001-01-01T00:00:00Z", "Value": "", "Children": None,
                **rest}  # fmt: skip

    soon = "2999-01-01T00:00:00Z"
    gone = "2001-01-01T00:00:00Z"
    children = {
        "old": node("/old", Value="4"),
        "_h": node("/_h", Children={"x": node("/_h/x", Value="5")}),
        "long": node("/long", Value="6", ExpireTime=soon),
        "gone": node("/gone", Value="7", ExpireTime=gone),
    }
    file = tmp_path / "snapshot"
    document = {"Root": node("/", Children=children), "CurrentIndex": 9, "CurrentVersion": 2}
    file.write_text(json.dumps(document))
    words = ["--endpoints", member.client_url, "import", "--snap", str(file), "-c", "3"]
    done = etcdctl(*words)
    assert done.returncode == 0
    told = {line.partition(" I | ")[2] for line in done.stderr.splitlines()}
    assert told == {"copying key: /old", "copying key: /long"}
    assert done.stdout.startswith(f"starting to import snapshot {file} with 3 clients\n")
    assert done.stdout.endswith("finished importing 2 keys\n")
    assert member.value("/old") == "4"
    assert member.value("/gone") is None
    assert member.value("/_h/x") is None
    assert etcdctl(*words, "--hidden", "/_h").stdout.endswith("finished importing 3 keys\n")
    assert member.value("/_h/x") == "5"


GOOD = '{"format": "etcd-export", "version": 1, "etcdIndex": 3}\n'
REFUSED = [
    ("", "-: neither an export nor a snapshot"),
    ("text", "-: neither an export nor a snapshot"),
    ("{}", "-: store snapshot: Root is not the directory /"),
    (GOOD, "-: the export is not complete"),
    (GOOD + '{"key": "/bad/a", "value": "1"}\n', "-: the export is not complete"),
    (GOOD + '{"key": "/bad/a", "value": "1"}\n{"count": 2}\n', "-: the export is not complete"),
    (GOOD + '{"key": "/bad/a", "val', "-:2: not a line of an export"),
    (GOOD + '{"key": "/bad/a", "value": 1}\n{"count": 1}\n', "-:2: not a key of an export"),
    (GOOD + '{"key": "/bad/a", "value": "1", "ttl": -1}\n{"count": 1}\n',
     "-:2: not a key of an export"),
    (GOOD.replace("1,", "2,") + '{"count": 0}\n', "-: version 2 is not known here"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_what_is_not_whole_changes_nothing(member, text, problem):
    done = etcdctl("--endpoints", member.client_url, "import", "--snap", "-", stdin=text)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{problem}\n")
    assert member.get("/bad").status == 404


def test_arguments_that_do_not_fit(member, tmp_path):
    url = ["--endpoints", member.client_url]
    done = etcdctl(*url, "import")
    assert (done.returncode, done.stderr) == (1, "no snapshot file provided (use --snap)\n")
    done = etcdctl(*url, "import", "--snap", f"{tmp_path}/none")
    text = f"cannot read snapshot file {tmp_path}/none: no such file or directory\n"
    assert (done.returncode, done.stderr) == (1, text)
    done = etcdctl(*url, "import", "--snap", "-", "-c", "0")
    assert (done.returncode, done.stderr) == (1, "-c must be from 1 to 256, not 0\n")
    done = etcdctl(*url, "export", "/none")
    assert done.returncode == 4
    assert done.stderr.startswith("Error:  100: Key not found (/none)")
    line = GOOD + '{"key": "/t2/a/b", "value": "1"}\n{"key": "/t2/a", "value": "1"}\n'
    line += '{"count": 2}\n'
    done = etcdctl(*url, "import", "--snap", "-", "-c", "1", stdin=line)
    assert done.returncode == 4
    assert done.stderr.startswith("Error:  failed to copy key: 102: Not a file (/t2/a)")
