"""Many changes in one request: each as /units/NAME would make it, and its own result."""

from __future__ import annotations

import json

import pytest

from coreos_py.etcdclient.errors import ClusterUnavailable
from coreos_py.fleet import api_batch
from tests.unit.fleet.test_api import run

SLEEP = [{"section": "Service", "name": "ExecStart", "value": "/bin/sleep 9"}]


def put(name, **body):
    return {"method": "PUT", "name": name, "body": {"name": name, **body}}


def delete(name):
    return {"method": "DELETE", "name": name}


async def post(node, operations):
    body = json.dumps({"operations": operations}).encode()
    return await node.ask("POST", "/fleet/v1/x-batch", body=body)


async def codes(node, operations):
    reply = await post(node, operations)
    assert reply.status == 200, reply.body
    return [(item["code"], item.get("message", "")) for item in json.loads(reply.body)["results"]]


def test_each_operation_has_its_own_result():
    async def scenario(node, etcd):
        found = await codes(
            node,
            [
                put("a.service", options=SLEEP),
                put("a.service", desiredState="launched"),
                put("a.service"),
                delete("a.service"),  # not tried: the one before failed
                put("b.service", options=SLEEP, desiredState="loaded"),
                put("c.service"),
                put("bad", options=SLEEP),
                put("d.service", options=[{**SLEEP[0], "section": "X-Fleet]"}]),
                delete("nobody.service"),
                put("t@.service", options=SLEEP),
                put("t@.service", desiredState="launched"),
            ],
        )
        assert found == [
            (201, ""),
            (204, ""),
            (409, "must provide DesiredState to update existing unit"),
            (500, ""),
            (201, ""),
            (409, "unit does not exist and options field empty"),
            (400, 'unit name must contain "."'),
            (400, "found garbage after section name : [93]"),
            (404, "unit does not exist"),
            (201, ""),
            (400, 'cannot activate template "t@.service"'),
        ]
        units = {unit.name: unit.target_state for unit in await node.registry.units()}
        assert units == {"a.service": "launched", "b.service": "loaded", "t@.service": "inactive"}
        assert await codes(node, [delete("b.service"), delete("a.service")]) == [(204, "")] * 2

    run(scenario)


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ("x", "operations: expect an array of objects"),
        ([1], "operations: expect an array of objects"),
        ([{"method": "PUT"}], "name: null is not a unit name"),
        ([{"method": "PUT", "name": "a/b"}], 'name: "a/b" is not a unit name'),
        ([{"method": "PUT", "name": ".."}], 'name: ".." is not a unit name'),
        ([{"method": "GET", "name": "a"}], 'method: expect PUT or DELETE, not "GET"'),
        ([{"method": "PUT", "name": "a", "body": 3}], "json: cannot unmarshal number into Go"),
        ([delete("a")] * (api_batch.OPERATIONS_MAX + 1), "operations: more than 1000"),
    ],
)
def test_a_request_that_makes_no_sense_changes_nothing(operations, message):
    async def scenario(node, etcd):
        node.server.limits.body_max = lambda request: 1 << 20
        reply = await post(node, operations)
        assert reply.status == 400
        assert json.loads(reply.body)["error"]["message"].startswith(message)
        assert etcd.dump() == {}

    run(scenario)


def test_what_etcd_is_too_slow_for_is_tried_again(monkeypatch):
    monkeypatch.setattr(api_batch, "_RETRY_S", 0.01)

    async def scenario(node, etcd):
        await codes(node, [put("a.service", options=SLEEP)])
        remove, asked = etcd.delete, []

        async def slow(path, **options):
            asked.append(path)
            if len(asked) == 1:
                await remove(path, **options)  # carried out, but nobody hears of it
            if len(asked) <= 2:
                raise ClusterUnavailable(["exceeded header timeout"])
            return await remove(path, **options)

        etcd.delete = slow
        assert await codes(node, [delete("a.service")]) == [(204, "")]
        assert len(asked) == 3
        etcd.down = True
        node.registry.jobs.stop()
        assert (await post(node, [delete("a.service")])).status == 500

    run(scenario)
