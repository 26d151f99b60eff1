"""`updatectl instance fake`: many pretended instances in one event loop, until interrupted.

The edge around fakelife.py. Mirrors instance.go.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
from typing import TYPE_CHECKING

from coreos_py.base.errors import WireError
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.client import TransportError
from coreos_py.http.url import parse_endpoint
from coreos_py.omaha import xml
from coreos_py.updatectl import omahaclient, session
from coreos_py.updatectl.fakelife import Ask, Instance, Rules, Say, Sleep
from coreos_py.updatectl.session import OK, PLAIN_USER_AGENT, Fatal, log, new_uuid

if TYPE_CHECKING:
    from coreos_py.cli.program import Call
    from coreos_py.http.url import Endpoint
    from coreos_py.omaha.xml import Element

TARGET = "/v1/update/"
PREFIX = "deadbeef"  # by which pretended instances are known
_ANSWER_TIMEOUT_S = 60.0
_HEADERS = (("User-Agent", PLAIN_USER_AGENT), ("Content-Type", "text/xml"))


def fake(call: Call) -> int:
    """Runs until it is interrupted."""
    flags = call.flags
    for name in ("min-sleep", "max-sleep"):
        if flags[name] < 0:
            raise Fatal(f"--{name}={flags[name]} is less than nothing")
    try:
        endpoint = parse_endpoint(call.settings["server"].rstrip("/"))
    except ValueError as err:
        raise Fatal(str(err)) from None
    rules = Rules(
        app=flags["app-id"],
        track=flags["group-id"],
        oem=flags["oem"],
        min_sleep_s=flags["min-sleep"],
        max_sleep_s=flags["max-sleep"],
        errorrate=flags["errorrate"],
        pings=flags["ping-only"],
        force=flags["force-update"],
    )
    crowd = [_instance(rules, flags["version"], run) for run in _ids(flags["clients-per-app"])]
    gc.enable()  # a command that runs on is not a quick one
    client = AsyncHTTPClient(
        tls=session.tls_context(call) if endpoint.scheme == "https" else None,
        connect_timeout_s=_ANSWER_TIMEOUT_S,
        idle_max=1024,
    )
    asyncio.run(_run(crowd, client, endpoint, is_verbose=flags["verbose"]))
    return OK


def _ids(count: int) -> list[str]:
    """Machine ids: the known prefix, this run's six digits, and what makes them unique."""
    run = os.urandom(3).hex()
    return [f"{PREFIX}{run}{new_uuid().replace('-', '')[14:]}" for _ in range(count)]


def _instance(rules: Rules, version: str, machine_id: str) -> Instance:
    return Instance(rules, id=machine_id, version=version, below=random.randrange, new_id=new_uuid)


async def _run(
    crowd: list[Instance], client: AsyncHTTPClient, endpoint: Endpoint, *, is_verbose: bool
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for instance in crowd:
                group.create_task(_live(instance, client, endpoint, is_verbose=is_verbose))
            if not crowd:
                await asyncio.Event().wait()
    finally:
        client.close()


async def _live(
    instance: Instance, client: AsyncHTTPClient, endpoint: Endpoint, *, is_verbose: bool
) -> None:
    life = instance.live()
    step = next(life)
    while True:
        answer = None
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
        elif isinstance(step, Say):
            _say(instance, step)
        else:
            answer = await _ask(instance, step, client, endpoint, is_verbose=is_verbose)
        step = life.send(answer)


def _say(instance: Instance, step: Say) -> None:
    if step.is_problem:
        log(step.text)
    else:
        print(f"{instance.id}: {step.text}", flush=True)


async def _ask(
    instance: Instance,
    step: Ask,
    client: AsyncHTTPClient,
    endpoint: Endpoint,
    *,
    is_verbose: bool,
) -> Element | None:
    target = endpoint.path + TARGET
    try:
        reply = await client.request(
            "POST",
            endpoint,
            target,
            headers=_HEADERS,
            body=step.body,
            timeout_s=_ANSWER_TIMEOUT_S,
        )
        if reply.status != 200:
            raise WireError(f"the server answered with status {reply.status}")
        root = omahaclient.read(reply.body)
    except (TransportError, WireError) as err:
        log(f'Post "{endpoint.text}{TARGET}": {err}')
        return None
    if is_verbose:
        print(f"{instance.id}: request: {step.body.decode()}")
        print(f"{instance.id}: response: {xml.write(root, indent=' ')}", flush=True)
    return root
