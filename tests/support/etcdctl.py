"""Sessions of etcdctl as data: what was run, and what the program said.

A session is a JSON file of steps that build on each other, on one fresh cluster:

    {"run": ["set", "/a", "1"], "status": 0, "out": "1\\n", "err": ""}
    {"run": ["set", "/a"], "stdin": "x", ...}          standard input
    {"run": [...], "env": {"ETCDCTL_PEERS": "http://<client>"}, ...}   only this environment
    {"run": ["watch", "/a"], "while": [["set", "/a", "2"]], ...}   commands to run once it waits
    {"run": [...], "while": [...], "interrupt": "text", ...}   SIGINT once stdout has the text

In words, <client>, <peer> and <dead> stand for host:port of the member's client side, of its peer
side, and of nobody. They, ids and times are masked in what is compared, TTLs rounded up. The
expected halves were recorded from etcdctl 2.3.8; to record again, name a real one:

    REAL_ETCDCTL=/path/to/etcdctl pytest --rewrite tests/interop/test_etcdctl_sessions.py
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.support.procs import (
    ETCDCTL_PATIENCE,
    command,
    environment,
    eventually,
    free_ports,
    http_request,
)

REAL = os.environ.get("REAL_ETCDCTL", "")
_ID = re.compile(r"\b[0-9a-f]{14,16}\b")
_TIME = re.compile(r"\b20\d\d-\d\d-\d\dT[\d:.]+Z")
_TTL = re.compile(r'(?<="ttl":)\d+')
_LOCAL_PORT = re.compile(r"127\.0\.0\.1:\d+->")


class Cluster:
    """Where a session takes place: one member, as host:port of its two sides."""

    def __init__(self, client: str, peer: str) -> None:
        self.client = client
        self.peer = peer
        self.dead = f"127.0.0.1:{free_ports(1)[0]}"

    def watchers(self) -> int:
        reply = http_request("GET", f"http://{self.client}/v2/stats/store")
        return int(reply.json()["watchers"])

    def fill(self, word: str) -> str:
        return (
            word.replace("<client>", self.client)
            .replace("<peer>", self.peer)
            .replace("<dead>", self.dead)
        )

    def mask(self, text: str) -> str:
        text = text.replace(self.client, "<client>").replace(self.peer, "<peer>")
        text = text.replace(self.dead, "<dead>")
        text = _LOCAL_PORT.sub("127.0.0.1:<port>->", text)
        text = _TTL.sub(lambda ttl: str(-(-int(ttl[0]) // 50) * 50), text)
        return _TIME.sub("<time>", _ID.sub("<id>", text))


def run_session(path: Path, cluster: Cluster, *, rewrite: bool = False) -> None:
    """Run every step and compare, or put what was said into the file."""
    steps = json.loads(path.read_text(encoding="utf-8"))
    failures = []
    for step in steps:
        actual = run_step(step, cluster)
        if rewrite:
            step.update(actual)
            continue
        for name, value in actual.items():
            if step[name] != value:
                problem = f"{step['run']}: {name}\n  expected {step[name]!r}\n  got      {value!r}"
                failures.append(problem)
    if rewrite:
        lines = ",\n".join(json.dumps(step, ensure_ascii=False) for step in steps)
        path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    assert not failures, "\n".join(failures)


def run_step(step: dict[str, Any], cluster: Cluster) -> dict[str, object]:
    """The outcome of one step, masked."""
    env = step.get("env", {"ETCDCTL_ENDPOINTS": "http://<client>"})
    if "while" in step:  # the server may not have heard yet that an earlier step's watch has ended
        eventually(lambda: cluster.watchers() == 0)
    process = _start(step["run"], {k: cluster.fill(v) for k, v in env.items()}, cluster)
    assert process.stdin is not None
    assert process.stdout is not None
    early = b""
    try:
        if "while" in step:
            eventually(cluster.watchers)
            for words in step["while"]:
                other = _start(words, {"ETCDCTL_ENDPOINTS": f"http://{cluster.client}"}, cluster)
                other.communicate(timeout=120)
        if "interrupt" in step:
            while step["interrupt"].encode() not in early:
                line = process.stdout.readline()
                assert line, f"ended after {early!r}"
                early += line
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(step.get("stdin", "").encode(), timeout=120)
    finally:
        process.kill()
        process.communicate()
    return {
        "status": process.returncode,
        "out": cluster.mask((early + out).decode()),
        "err": cluster.mask(err.decode()),
    }


def _start(words: list[str], env: dict[str, str], cluster: Cluster) -> subprocess.Popen[bytes]:
    argv = [REAL, *ETCDCTL_PATIENCE] if REAL else command("etcdctl")
    return subprocess.Popen(
        [*argv, *(cluster.fill(word) for word in words)],
        env=environment(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
