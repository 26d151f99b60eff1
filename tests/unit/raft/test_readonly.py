"""ReadRounds: which reads a set of answers settles."""

from __future__ import annotations

import random

from coreos_py.raft.readonly import ReadRounds
from coreos_py.raft.types import ReadState


def ask(rounds: ReadRounds, *contexts: bytes, commit: int) -> bytes:
    for context in contexts:
        rounds.ask(context)
    rounds.start(commit)
    return rounds.token()


def settle(rounds: ReadRounds, *, voters=(1, 2, 3), leader=1, quorum=2) -> list[ReadState]:
    return rounds.settle(voters=voters, leader=leader, quorum=quorum)


def test_no_round_no_token():
    assert ReadRounds().token() == b""


def test_a_majority_settles_a_round():
    rounds = ReadRounds()
    token = ask(rounds, b"a", b"b", commit=7)
    assert settle(rounds) == []
    rounds.answer(2, token)
    assert settle(rounds) == [ReadState(7, b"a"), ReadState(7, b"b")]
    assert settle(rounds) == []
    assert rounds.token() == b""


def test_one_node_answering_twice_is_one_node():
    rounds = ReadRounds()
    token = ask(rounds, b"a", commit=1)
    rounds.answer(2, token)
    rounds.answer(2, token)
    assert settle(rounds, voters=(1, 2, 3, 4, 5), quorum=3) == []


def test_a_later_answer_settles_earlier_rounds_but_not_the_other_way_round():
    rounds = ReadRounds()
    first = ask(rounds, b"a", commit=1)
    second = ask(rounds, b"b", commit=2)
    rounds.answer(2, first)
    assert settle(rounds) == [ReadState(1, b"a")]
    ask(rounds, b"c", commit=3)
    rounds.answer(3, second)
    assert settle(rounds) == [ReadState(2, b"b")]
    rounds.answer(2, rounds.token())
    assert settle(rounds) == [ReadState(3, b"c")]


def test_strangers_and_inventions_do_not_count():
    rounds = ReadRounds()
    token = ask(rounds, b"a", commit=1)
    rounds.answer(9, token)
    rounds.answer(2, (99).to_bytes(8, "big"))
    assert settle(rounds) == []


def test_a_leader_that_is_no_member_does_not_count_itself():
    rounds = ReadRounds()
    token = ask(rounds, b"a", commit=1)
    rounds.answer(2, token)
    assert settle(rounds, voters=(2, 3), leader=1, quorum=2) == []
    rounds.answer(3, token)
    assert settle(rounds, voters=(2, 3), leader=1, quorum=2) == [ReadState(1, b"a")]


def test_alone_no_answer_is_needed():
    rounds = ReadRounds()
    ask(rounds, b"a", commit=4)
    assert settle(rounds, voters=(1,), quorum=1) == [ReadState(4, b"a")]


def test_rounds_against_counting_answers_one_by_one(rng: random.Random):
    """The highest-answer trick against a set of answering nodes per round."""
    for _ in range(300):
        voters = tuple(range(1, rng.choice((1, 3, 4, 5)) + 1))
        quorum = len(voters) // 2 + 1
        rounds = ReadRounds()
        answered: list[tuple[bytes, set[int]]] = []
        served: list[bytes] = []
        for step in range(20):
            if rng.random() < 0.4:
                context = str(step).encode()
                answered.append((context, {1}))
                ask(rounds, context, commit=step)
            elif answered:
                node, number = rng.choice(voters), rng.randrange(len(answered))
                rounds.answer(node, (number + 1).to_bytes(8, "big"))
                for _, nodes in answered[: number + 1]:
                    nodes.add(node)
            served += [state.context for state in settle(rounds, voters=voters, quorum=quorum)]
            assert served == [context for context, nodes in answered if len(nodes) >= quorum]
