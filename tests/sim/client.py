"""Clients: one request at a time each, unique values, and they give up after a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sim.machine import command

if TYPE_CHECKING:
    from tests.sim.world import World


class Client:
    """Writes and reads a few keys through whatever server is there."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.rng = world.child(f"client/{number}")
        self.current = 0
        world.at(self.rng.randrange(world.options.load_us) + 1, self.next)

    def next(self) -> None:
        """Start another operation."""
        world, rng = self.world, self.rng
        if world.network.calm:
            return
        self.current = operation = world.new_operation()
        key = f"k{rng.randrange(world.options.keys)}"
        server = world.any_server(rng)
        accepted = False
        if server is not None:
            if rng.random() < world.options.reads:
                leader = world.leader_known_to(server)
                accepted = leader is not None and self._read(leader, key, operation)
            else:
                accepted = self._write(server, key, operation)
        patience = 20 * world.options.tick_us if accepted else 0
        world.at(patience + self._pause(), self._give_up, operation)

    def _pause(self) -> int:
        return int(self.rng.expovariate(1) * self.world.options.load_us) + 1

    def _give_up(self, operation: int) -> None:
        if operation == self.current:
            self.next()

    def _done(self, operation: int) -> None:
        if operation == self.current:
            self.current = 0
            self.world.at(self._pause(), self.next)

    def _write(self, server, key: str, operation: int) -> bool:
        world = self.world
        floor = world.oracle.start(key)

        def reply(index: int) -> None:
            world.oracle.wrote(key, operation, index=index, floor=floor)
            self._done(operation)

        datas = [command(operation, key, operation)]
        datas += [self._filler() for _ in range(world.options.burst - 1)]
        return server.propose(datas, operation=operation, reply=reply)

    def _filler(self) -> bytes:
        """Something nobody waits for; with a store, a key that expires soon, or has already."""
        world, rng = self.world, self.rng
        operation = world.new_operation()
        if not world.options.store:
            return command(operation, "filler", 0)
        ttl_us = rng.randrange(-world.options.tick_us, 4 * world.options.election_us)
        return command(operation, f"t{rng.randrange(4)}", 0, expire_us=world.now + ttl_us)

    def _read(self, server, key: str, operation: int) -> bool:
        world = self.world
        floor = world.oracle.start(key)

        def reply(found: tuple[int, int] | None) -> None:
            if found is not None:
                world.oracle.read(key, index=found[1], floor=floor)
            self._done(operation)

        return server.read(key, reply)
