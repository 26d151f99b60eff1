"""What the machines of a local cluster say over HTTP: health, membership, units."""

from __future__ import annotations

import json
import time
import urllib.parse

from coreos_py.base.errors import CoreosError, Unavailable
from coreos_py.cluster import spec
from coreos_py.http.client import HTTPClient
from coreos_py.http.url import parse_endpoint

TIMEOUT_S = 1.5


def ask(
    url: str, path: str, *, method: str = "GET", body: bytes = b"", timeout_s: float = TIMEOUT_S
) -> tuple[int, bytes]:
    """(status, body) of one request; CoreosError when nobody answers in time."""
    client = HTTPClient()
    headers = [("Content-Type", "application/json")] if body else []
    try:
        reply = client.request(
            method,
            parse_endpoint(url),
            path,
            headers=headers,
            body=body,
            deadline=time.monotonic() + timeout_s,
        )
    finally:
        client.close()
    return reply.status, reply.body


def is_healthy(client_url: str) -> bool:
    """Whether the member serves and its cluster makes progress."""
    try:
        status, body = ask(client_url, "/health")
        return status == 200 and json.loads(body)["health"] == "true"
    except (CoreosError, ValueError, KeyError):
        return False


def fleet_machines(fleet_url: str) -> set[str]:
    """Ids of the machines that fleet knows; empty while it does not answer."""
    try:
        status, body = ask(fleet_url, "/fleet/v1/machines")
        return (
            {machine["id"] for machine in json.loads(body).get("machines", [])}
            if (status == 200)
            else set()
        )
    except (CoreosError, ValueError, KeyError):
        return set()


def listed(client_urls: list[str]) -> dict[str, list[str]]:
    """Name -> peer URLs of the members, as the first member that answers has it."""
    for url in client_urls:
        try:
            status, body = ask(url, "/v2/members")
        except CoreosError:
            continue
        if status == 200:
            return {m["name"]: m["peerURLs"] for m in json.loads(body)["members"] if m["name"]}
    raise Unavailable("no member of the cluster answers", hint="coreos cluster status")


def add(client_urls: list[str], *, peer_url: str) -> None:
    """Makes `peer_url` a member; CoreosError with the cluster's own words when it refuses."""
    body = json.dumps({"peerURLs": [peer_url]}).encode()
    for url in client_urls:
        try:
            status, answer = ask(url, "/v2/members", method="POST", body=body, timeout_s=10)
        except CoreosError:
            continue
        if status == 201:
            return
        raise CoreosError(f"the cluster does not take {peer_url}: {answer.decode().strip()}")
    raise Unavailable("no member of the cluster answers", hint="coreos cluster status")


def table(cluster: spec.Cluster, states: dict[int, str]) -> list[tuple[str, ...]]:
    """The rows of `coreos cluster status`, header first."""
    running = [m for m in cluster.machines if states.get(m.number) == "running"]
    units = _units_by_machine(running)
    rows: list[tuple[str, ...]] = [("N", "NAME", "IP", "STATE", "ETCD", "UNITS", "METADATA")]
    for machine in cluster.machines:
        state = states.get(machine.number, "killed")
        metadata = ",".join(f"{key}={value}" for key, value in sorted(machine.metadata.items()))
        rows.append(
            (
                str(machine.number),
                machine.name,
                machine.ip,
                state,
                _role(machine) if state == "running" else "-",
                ",".join(units.get(machine.machine_id, [])) or "-",
                metadata,
            )
        )
    return rows


def _role(machine: spec.Machine) -> str:
    try:
        state = str(json.loads(ask(machine.client_url, "/v2/stats/self")[1])["state"])
    except (CoreosError, ValueError, KeyError):
        return "unreachable"
    return state.removeprefix("State").lower()


def _units_by_machine(machines: list[spec.Machine]) -> dict[str, list[str]]:
    for machine in machines:
        try:
            states = _all_states(machine.fleet_url)
        except (CoreosError, ValueError, KeyError):
            continue
        found: dict[str, list[str]] = {}
        for state in states:
            if state.get("systemdActiveState") == "active":
                found.setdefault(state["machineID"], []).append(state["name"])
        return found
    return {}


def _all_states(fleet_url: str) -> list[dict[str, str]]:
    states: list[dict[str, str]] = []
    query = ""
    while True:
        status, body = ask(fleet_url, f"/fleet/v1/state{query}")
        if status != 200:
            raise Unavailable(f"{fleet_url} answers {status}")
        page = json.loads(body)
        states += page.get("states", [])
        if not page.get("nextPageToken"):
            return states
        query = f"?nextPageToken={urllib.parse.quote(page['nextPageToken'])}"
