"""The HTTP API v1 as a transcript: requests over a real connection, answers byte for byte."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from coreos_py.base.unitfile import parse
from coreos_py.fleet.api import API, oversize
from coreos_py.fleet.api_journal import JournalResource
from coreos_py.fleet.discovery import document
from coreos_py.fleet.job import LAUNCHED, UnitState
from coreos_py.fleet.metrics import Metrics
from coreos_py.fleet.model import MachineObject
from coreos_py.fleet.registry import Registry
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.listen import bind_tcp, listen
from coreos_py.http.server import HTTPServer, Limits
from coreos_py.http.url import parse_endpoint
from tests.support import transcript
from tests.support.memory_etcd import MemoryEtcd
from tests.support.memory_manager import MemoryManager

DATA = Path(__file__).resolve().parents[2] / "data" / "fleet"


class Node:
    """One machine's API on a loopback port."""

    def __init__(self, etcd, machine_id="m1", *, token_limit=3):
        self.registry = Registry(etcd)
        self.manager = MemoryManager()
        self.http = AsyncHTTPClient()
        journal = JournalResource(self.registry, self.manager, machine_id, http=self.http)
        self.api = API(self.registry, token_limit=token_limit, metrics=Metrics(), journal=journal)
        self.api.available = True
        server = HTTPServer(self.api.handle, limits=Limits(body_max=20_000), oversize=oversize)
        self.server = server
        (self.listener,) = listen(server, [bind_tcp("127.0.0.1", 0)])
        self.url = f"http://127.0.0.1:{self.listener.port}"

    async def ask(self, method, target, *, body=b"", headers=()):
        return await self.http.request(
            method, parse_endpoint(self.url), target, headers=headers, body=body, timeout_s=60
        )

    async def close(self):
        self.http.close()
        self.listener.close()
        await self.server.drain(0.1)


def run(scenario):
    """Run a scenario with one node over an empty registry."""

    async def whole():
        etcd = MemoryEtcd()
        node = Node(etcd)
        try:
            return await scenario(node, etcd)
        finally:
            await node.close()

    return asyncio.run(whole())


@pytest.mark.parametrize("name", ["api.txt", "api-extras.txt"])
def test_transcript(rewrite, name):
    with asyncio.Runner() as runner:
        etcd = MemoryEtcd()

        async def make():
            return Node(etcd)

        node = runner.run(make())

        def execute(command):
            return runner.run(_request(node, etcd, command))

        try:
            transcript.run_file(DATA / name, execute, rewrite=rewrite)
        finally:
            runner.run(node.close())


async def _request(node, etcd, command):
    if command.name == "etcd":
        await etcd.set(f"/_coreos.com/fleet/{command.bare[0]}", "\n".join(command.body))
        return ""
    if command.name == "machine":
        machine = MachineObject(command.bare[0], command.options.get("ip", ""))
        await node.registry.set_machine(machine, ttl_s=30)
        return ""
    if command.name == "keys":
        found = etcd.dump()
        return "\n".join(f"{key[18:]} {found[key]}" for key in found if command.bare[0] in key)
    kind = command.options.get("type", "application/json")
    headers = [("Content-Type", kind)] if kind != "none" else []
    body = "\n".join(command.body).encode()
    # A target with a query looks like an option to the transcript's parser.
    queries = [f"{key}={value}" for key, value in command.options.items() if key[0] == "/"]
    target = queries[0] if queries else command.bare[0]
    reply = await node.ask(command.name, target, body=body, headers=headers)
    fields = {b"content-type": "", b"location": ""}
    shown = [reply.fields[name].decode() for name in fields if name in reply.fields]
    assert reply.fields[b"server"] == b"fleetd/v1.0.0"
    return "\n".join([" ".join([str(reply.status), *shown]), *reply.body.decode().splitlines()])


def test_everything_is_503_without_etcd():
    async def scenario(node, _etcd):
        node.api.available = False
        for method, target in (("GET", "/fleet/v1/units"), ("GET", "/"), ("PUT", "/nonsense//")):
            reply = await node.ask(method, target)
            assert reply.status == 503
            assert json.loads(reply.body)["error"] == {
                "code": 503,
                "message": "fleet server unable to communicate with etcd",
            }

    run(scenario)


def test_an_unreachable_etcd_is_500_with_an_empty_message():
    async def scenario(node, etcd):
        etcd.down = True
        for method, target, body in (
            ("GET", "/fleet/v1/units", b""),
            ("GET", "/fleet/v1/machines", b""),
            ("DELETE", "/fleet/v1/units/a.service", b""),
            ("PUT", "/fleet/v1/units/a.service", b"{}"),
        ):
            headers = [("Content-Type", "application/json")]
            reply = await node.ask(method, target, body=body, headers=headers)
            assert reply.status == 500
            assert reply.body == b'{"error":{"code":500,"message":""}}'

    run(scenario)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"7", b'"x"', b'{"options":[1]}', b'{"options":{}}', b'{"name":1}', b"\xff"],
)
def test_malformed_bodies_are_400(body):
    async def scenario(node, etcd):
        headers = [("Content-Type", "application/json")]
        target = "/fleet/v1/units/a.service"
        reply = await node.ask("PUT", target, body=body, headers=headers)
        assert reply.status == 400
        assert json.loads(reply.body)["error"]["message"].startswith("unable to decode body: ")
        assert etcd.dump() == {}

    run(scenario)


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"[1]", b'[{"op":1}]', b"[" * 9000])
def test_malformed_patches_are_400(body):
    async def scenario(node, etcd):
        reply = await node.ask("PATCH", "/fleet/v1/machines", body=body)
        assert reply.status == 400
        assert json.loads(reply.body)["error"]["message"]
        assert etcd.dump() == {}

    run(scenario)


def test_a_body_that_is_too_large_is_413():
    async def scenario(node, _etcd):
        headers = [("Content-Type", "application/json")]
        body = b"[" + b" " * 30_000
        reply = await node.ask("PUT", "/fleet/v1/units/a.service", body=body, headers=headers)
        assert reply.status == 413

    run(scenario)


def test_every_page_of_every_length():
    async def scenario(node, _etcd):
        for count in range(8):
            if count:
                file = parse(f"[Service]\nExecStart=/bin/echo {count}\n")
                name = f"u{count}.service"
                await node.registry.create_unit(name, file, target_state=LAUNCHED)
            names, pages, token = [], 0, ""
            while True:
                suffix = f"?alt=json&nextPageToken={token}" if token else "?alt=json"
                reply = await node.ask("GET", f"/fleet/v1/units{suffix}")
                page = json.loads(reply.body)
                names += [unit["name"] for unit in page.get("units", ())]
                pages += 1
                token = page.get("nextPageToken", "")
                if not token:
                    break
            assert names == [f"u{n}.service" for n in range(1, count + 1)]
            # An exact multiple of the limit has a token to one last empty page.
            assert pages == count // 3 + 1

    run(scenario)


def test_journals_are_found_on_the_machine_that_holds_the_unit():
    async def whole():
        etcd = MemoryEtcd()
        here, there = Node(etcd, "m1"), Node(etcd, "m2")
        file = parse("[Service]\nExecStart=/bin/true\n")
        await here.registry.create_unit("a.service", file, target_state=LAUNCHED)
        target = "/fleet/v1/x-journal/a.service?lines=2"
        try:
            assert (await here.ask("GET", target)).status == 404  # placed nowhere
            await here.registry.schedule("a.service", "m2")
            assert (await here.ask("GET", target)).status == 501  # m2 announced no API
            await here.registry.announce_api("m2", there.url, ttl_s=30)
            assert (await here.ask("GET", target)).status == 404  # not loaded there yet
            await there.manager.load("a.service", file)
            for more in ("", "&follow=true"):
                reply = await here.ask("GET", target + more)
                assert reply.status == 200
                lines = [json.loads(line) for line in reply.body.splitlines()]
                assert [line["text"] for line in lines] == ["line 0", "line 1"]
                assert lines[0]["ident"] == "prog"
            await here.registry.announce_api("m2", here.url, ttl_s=30)
            assert (await here.ask("GET", target)).status == 421  # no running in circles
            await here.registry.announce_api("m2", "http://127.0.0.1:1", ttl_s=30)
            assert (await here.ask("GET", target)).status == 502
            assert (await here.ask("GET", "/fleet/v1/x-journal/b.service")).status == 404
            bad = "/fleet/v1/x-journal/a.service?lines=x"
            assert (await here.ask("GET", bad)).status == 400
            assert (await here.ask("POST", target)).status == 405
        finally:
            await here.close()
            await there.close()

    asyncio.run(whole())


def test_the_state_of_the_target_machine_is_preferred():
    async def scenario(node, _etcd):
        for machine_id, active in (("m1", "failed"), ("m2", "active")):
            state = UnitState("a.service", "loaded", active, "x", machine_id, "ab")
            await node.registry.save_state(state, ttl_s=30)
        file = parse("[Service]\nExecStart=/bin/true\n")
        await node.registry.create_unit("a.service", file, target_state=LAUNCHED)
        await node.registry.schedule("a.service", "m2")
        reply = await node.ask("GET", "/fleet/v1/state/a.service")
        assert json.loads(reply.body)["systemdActiveState"] == "active"

    run(scenario)


def test_the_discovery_document_names_what_there_is():
    found = json.loads(document())
    assert (found["name"], found["version"], found["basePath"]) == ("schema", "v1", "/fleet/v1/")
    assert sorted(found["resources"]["Units"]["methods"]) == ["Delete", "Get", "List", "Set"]
    assert sorted(found["resources"]) == ["Machines", "UnitState", "Units"]
    assert len(found["schemas"]) == 7
