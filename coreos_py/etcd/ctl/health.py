"""etcdctl cluster-health: ask every member's client URLs for /health."""

from __future__ import annotations

import json
import os
import signal
from time import monotonic, sleep

from coreos_py.base.errors import CoreosError
from coreos_py.etcd.ctl.session import (
    EXIT_SERVER_ERROR,
    EXIT_UNHEALTHY,
    fail,
    limit,
    unsynced_client,
)
from coreos_py.http.url import parse_endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call
    from coreos_py.etcdclient.model import Member
    from coreos_py.etcdclient.sync_client import Etcd

_PAUSE_S = 10
_CHECK_TIMEOUT_S = 10.0  # etcdctl 2.3.8 waits for ever for a member that accepts and says nothing


def cluster_health(call: Call) -> int:
    """Print the health of each member and of the cluster: 0 if any member is healthy, else 5."""
    forever = call.flags["forever"]
    if forever:
        signal.signal(signal.SIGINT, lambda _signum, _frame: os._exit(0))
    client = unsynced_client(call)
    limit(call, client)
    try:
        members = client.members()
    except CoreosError as err:
        print("cluster may be unhealthy: failed to list members", flush=True)
        fail(EXIT_SERVER_ERROR, err)
    client.deadline = None
    while True:
        healthy = [_check_member(client, member) for member in members]
        print("cluster is healthy" if any(healthy) else "cluster is unhealthy")
        if not forever:
            return 0 if any(healthy) else EXIT_UNHEALTHY
        print(f"\nnext check after {_PAUSE_S} second...\n\n", end="", flush=True)
        sleep(_PAUSE_S)


def _check_member(client: Etcd, member: Member) -> bool:
    if not member.client_urls:
        print(f"member {member.id} is unreachable: no available published client urls")
        return False
    for url in member.client_urls:
        try:
            healthy = _check_url(client, url)
        except (CoreosError, ValueError) as err:
            print(f"failed to check the health of member {member.id} on {url}: {err}")
            continue
        word = "healthy" if healthy else "unhealthy"
        print(f"member {member.id} is {word}: got {word} result from {url}")
        return healthy
    urls = " ".join(member.client_urls)
    print(f"member {member.id} is unreachable: [{urls}] are all unreachable")
    return False


def _check_url(client: Etcd, url: str) -> bool:
    """The answer of one URL; ValueError when there is none that makes sense."""
    deadline = monotonic() + _CHECK_TIMEOUT_S
    try:
        reply = client.http.request("GET", parse_endpoint(url), "/health", deadline=deadline)
    except CoreosError as err:
        raise ValueError(f'Get "{url}/health": {err}') from None
    try:
        answer = json.loads(reply.body)
    except ValueError:
        head = reply.body[:1].decode("latin-1")
        problem = f"invalid character '{head}' looking for beginning of value"
        raise ValueError(problem if head else "unexpected end of JSON input") from None
    if not isinstance(answer, dict):
        raise ValueError("the answer is not a JSON object")
    health = answer.get("health")
    return health == "true" or health is True
