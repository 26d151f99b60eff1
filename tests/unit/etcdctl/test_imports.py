"""What `etcdctl get` loads: every module costs its users a moment at every call."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.httpd import Httpd
from tests.support.procs import ROOT

FORBIDDEN = (
    "asyncio",
    "click",
    "dataclasses",
    "datetime",
    "email",
    "http.client",
    "httpx",
    "logging",
    "pathlib",
    "random",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "typing",
    "unicodedata",
    "urllib",
    "uuid",
)
PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
from coreos_py.etcd.cmd_etcdctl import main
status = main(["etcdctl", "--endpoints", sys.argv[2], "get", "/k"])
loaded = list(sys.modules)
import json
print(json.dumps([status, loaded]))
"""


def test_get_loads_no_more_than_it_needs():
    body = b'{"action":"get","node":{"key":"/k","value":"v"}}'
    with Httpd({"/v2/keys/k": (200, body)}) as server:
        listed = {"members": [{"id": "a", "clientURLs": [server.url]}]}
        server.routes["/v2/members"] = (200, json.dumps(listed).encode())
        done = subprocess.run(
            [sys.executable, "-IS", "-c", PROBE, str(ROOT), server.url],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    value, report = done.stdout.splitlines()
    status, loaded = json.loads(report)
    assert (value, status) == ("v", 0)
    assert [name for name in FORBIDDEN if name in loaded] == []
    ours = [name for name in loaded if name.startswith("coreos_py.")]
    assert not [
        name for name in ours if name.endswith((".watch", ".members", ".health", ".aclient"))
    ]
