"""Random units, requests and accidents: whatever happens, the engine comes to rest and holds on.

Checked after every step: a unit that is down runs nothing, and no unit has two main processes.
Checked at the end: no job is left waiting, and what is up runs. A failure prints its seed.
"""

from __future__ import annotations

import random

import pytest

from coreos_py.systemd.embedded.policy import Exit
from tests.unit.systemd.world import World

NAMES = "abcdef"
TYPES = {
    "simple": ["/run", "/stubborn", "/ok", "/fail", "/missing"],
    "oneshot": ["/ok", "/fail", "/run"],
    "forking": ["/daemon", "/ok", "/fail"],
    "notify": ["/run", "/ok", "/stubborn"],
}
RELATIONS = ["Requires", "BindsTo", "Wants", "After", "Before", "PartOf", "Conflicts", "Requisite"]
EXTRA = ["ExecStartPre", "ExecStartPost", "ExecStop", "ExecStopPost"]


def body(chance):
    lines = ["[Unit]"]
    lines += [
        f"{chance.choice(RELATIONS)}={chance.choice(NAMES)}.service"
        for _ in range(chance.randrange(4))
    ]
    kind = chance.choice(list(TYPES))
    lines += ["[Service]", f"Type={kind}", f"ExecStart={chance.choice(TYPES[kind])}"]
    for setting in EXTRA:
        if chance.random() < 0.2:
            lines.append(
                f"{setting}={chance.choice(['/ok', '-/fail', '/fail', '/run', '/missing'])}"
            )
    if kind != "oneshot":
        lines.append(f"Restart={chance.choice(['no', 'always', 'on-failure'])}")
    lines.append(f"RestartSec={chance.choice([0, 1, 3])}")
    lines.append(f"KillMode={chance.choice(['control-group', 'mixed', 'process'])}")
    lines.append(f"RemainAfterExit={chance.choice(['yes', 'no'])}")
    lines += ["TimeoutStartSec=5", "TimeoutStopSec=2"]
    return "\n".join(lines) + "\n"


def load(world, name, chance):
    text = body(chance)
    if "KillMode=process" in text:
        world.leaving.add(name)
    world.load(f"{name}.service", text)


def step(world, chance):
    name = chance.choice(NAMES)
    service = world.engine.services[f"{name}.service"]
    action = chance.randrange(8)
    if action <= 1:
        world.start(name)
    elif action == 2:
        world.stop(name)
    elif action == 3:
        load(world, name, chance)
    elif action == 4 and service.sub == "start":
        world.notify(name, READY="1")
    elif action == 5 and service.main_pid in world.processes:
        end = chance.choice([Exit("exited", 0), Exit("exited", 1), Exit("killed", 9)])
        world.reap(service.main_pid, end)
    elif action == 6 and service.control_pid in world.processes:
        world.reap(service.control_pid, chance.choice([Exit("exited", 0), Exit("exited", 1)]))
    else:
        world.advance(chance.choice([0.1, 1, 4]))


def check(world):
    for name in NAMES:
        service = world.engine.services[f"{name}.service"]
        if service.sub in ("dead", "failed", "auto-restart"):
            leaves = name in world.leaving  # by KillMode=process, now or before a change
            assert leaves or not world.any_of(service.name), f"{name} left processes"
            assert service.main_pid == service.control_pid == 0, f"{name} is down"
        if service.sub == "running" and service.main_known:
            assert service.main_pid in world.processes, f"{name} runs nothing"
    for name in NAMES:
        service = world.engine.services[f"{name}.service"]
        if service.run.type in ("simple", "notify") and name not in world.leaving:
            kinds = [
                one
                for one in world.processes.values()
                if one.unit == service.name and one.setting == "ExecStart"
            ]
            assert len(kinds) <= 2 - (service.definition is service.run), f"{name} runs twice"


@pytest.mark.parametrize("seed", range(150))
def test_whatever_happens(seed):
    print(f"seed {seed}")
    chance = random.Random(seed)
    world = World()
    for name in NAMES:
        load(world, name, chance)
    for _ in range(60):
        step(world, chance)
        check(world)
    for _ in range(2):  # one that comes back late may pull in another that was stopped before it
        for name in NAMES:
            world.stop(name)
        world.advance(60)
    assert world.engine.jobs == {}
    for name in NAMES:
        assert world.state(name) in ("dead", "failed"), f"{name} is {world.state(name)}"
    check(world)
    assert world.watched == set()
    assert world.timers == {}
