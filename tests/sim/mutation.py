"""How bugs are put in on purpose, for a while: the table of mutants.py is filled from here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from coreos_py.raft import core
from coreos_py.raft.types import MsgType, Role
from tests.sim import swarm
from tests.sim.swarm import Options

Mutation = Callable[[], Any]


class Mutant(NamedTuple):
    """A bug, the trouble in which it hurts, and who is to notice it."""

    apply: Mutation
    focus: dict[str, Any]
    stories: bool


MUTANTS: dict[str, Mutant] = {}


@contextmanager
def patched(owner: Any, **changes: Any) -> Iterator[None]:
    """Replace attributes of a class, a module or a dict for a while."""
    is_dict = isinstance(owner, dict)
    names = list(changes)
    before = [owner[name] if is_dict else vars(owner)[name] for name in names]
    try:
        for name in names:
            _put(owner, name, changes[name])
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            _put(owner, name, value)


def _put(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, dict):
        owner[name] = value
    else:
        setattr(owner, name, value)


def mutant(*, stories: bool = False, **focus: Any) -> Callable[[Mutation], Mutation]:
    """Register a bug. `focus` overrides what is drawn; `stories` are the raft transcripts."""

    def register(make: Mutation) -> Mutation:
        MUTANTS[make.__name__] = Mutant(make, focus, stories)
        return make

    return register


@contextmanager
def handler(role: Role, kind: MsgType, function: Any) -> Iterator[None]:
    table: Any = core._HANDLERS[role]
    before = table.get(kind)
    table[kind] = function
    try:
        yield
    finally:
        if before is None:
            del table[kind]
        else:
            table[kind] = before


def options_for(seed: int, mutant: Mutant | None) -> Options:
    """The world of a seed, with the trouble in which the mutant hurts."""
    options = swarm.draw(seed)
    return replace(options, **mutant.focus) if mutant else options
