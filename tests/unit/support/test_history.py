"""The judges are judged: each kind of violation is seen, and correct histories pass."""

from __future__ import annotations

import random

import pytest

from tests.support.history import UNSEEN, Op, index_violations, linearizable, resolve


def op(kind, call, ret, *, arg=None, prev=None, value=None, ok=True, index=None, client=0):
    shown = value if kind == "get" or value else UNSEEN
    return Op(client, "k", kind, arg, prev, call, ret, ok, shown, index)


GOOD = {
    "empty": [],
    "read nothing": [op("get", 0, 1, ok=False)],
    "write then read": [op("set", 0, 1, arg="a"), op("get", 2, 3, value="a")],
    "overlapping read sees either": [
        op("set", 0, 10, arg="a"),
        op("get", 1, 2, ok=False),
        op("get", 3, 4, value="a"),
    ],
    "lost write shows up late": [
        op("set", 0, None, arg="a"),
        op("get", 5, 6, ok=False),
        op("get", 7, 8, value="a"),
    ],
    "cas and refused cas": [
        op("set", 0, 1, arg="a"),
        op("cas", 2, 3, prev="a", arg="b"),
        op("cas", 4, 5, prev="a", arg="c", ok=False),
        op("get", 6, 7, value="b"),
    ],
    "delete": [
        op("set", 0, 1, arg="a"),
        op("delete", 2, 3),
        op("delete", 4, 5, ok=False),
        op("get", 6, 7, ok=False),
    ],
}
BAD = {
    "stale read": [op("set", 0, 1, arg="a"), op("get", 2, 3, ok=False)],
    "lost write": [
        op("set", 0, 1, arg="a"),
        op("set", 2, 3, arg="b"),
        op("get", 4, 5, value="a"),
    ],
    "phantom": [op("get", 0, 1, value="never")],
    "read goes back": [
        op("set", 0, 10, arg="a"),
        op("get", 1, 2, value="a"),
        op("get", 3, 4, ok=False),
    ],
    "two cas of one value": [
        op("set", 0, 1, arg="a"),
        op("cas", 2, 5, prev="a", arg="b"),
        op("cas", 2, 5, prev="a", arg="c", client=1),
    ],
    "replaced something else than was there": [
        op("set", 0, 1, arg="a"),
        op("set", 2, 3, arg="b", value="x"),
    ],
    "refused cas of the present value": [
        op("set", 0, 1, arg="a"),
        op("cas", 2, 3, prev="a", arg="b", ok=False),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_correct_histories_pass(name):
    assert linearizable(GOOD[name])
    assert linearizable(resolve(GOOD[name]))


@pytest.mark.parametrize("name", BAD)
def test_violations_are_seen(name):
    assert not linearizable(BAD[name])
    assert not linearizable(resolve(BAD[name]))


@pytest.mark.parametrize(
    ("history", "word"),
    [
        ([op("set", 0, 1, arg="a", index=5), op("set", 2, 3, arg="b", index=5)], "two writes"),
        ([op("set", 0, 1, arg="a", index=6), op("set", 2, 3, arg="b", index=5)], "lower index"),
        (
            [
                op("set", 0, 1, arg="a", index=5),
                op("set", 2, 3, arg="b", index=6),
                op("get", 4, 5, value="a", index=5),
            ],
            "stale",
        ),
        (
            [op("set", 0, 1, arg="a", index=5), op("get", 2, 3, value="x", index=5)],
            "something else",
        ),
        ([op("get", 0, 1, value="a", index=5), op("set", 2, 3, arg="a", index=5)], "before it was"),
    ],
)
def test_index_violations_are_seen(history, word):
    assert any(word in text for text in index_violations(history))


def test_a_long_concurrent_history_of_a_real_register_passes(rng: random.Random):
    """2000 operations of 8 clients, each taking effect at some moment between call and return."""
    moments = []
    free = [0.0] * 8
    for number in range(2000):
        client = min(range(8), key=lambda c: free[c])
        call = free[client] + rng.random()
        ret = call + rng.random() * 4
        free[client] = ret
        kind = rng.choice(["get", "set", "cas"])
        moments.append((rng.uniform(call, ret), number, client, kind, call, ret))
    state, index, values, ops = None, 0, ["none"], []
    for _, number, client, kind, call, ret in sorted(moments):
        if kind == "get":
            ops.append(op("get", call, ret, value=state, ok=state is not None, index=index or None))
            continue
        prev = rng.choice(values[-3:])
        ok = kind == "set" or prev == state
        if ok:
            index += 1
            state = f"v{number}"
            values.append(state)
        seen = index if ok else None
        ops.append(
            op(kind, call, ret, arg=f"v{number}", prev=prev, ok=ok, index=seen, client=client)
        )
    assert linearizable(ops)
    assert index_violations(ops) == []
    reads = [i for i, o in enumerate(ops) if o.op == "get" and o.ok]
    spoiled = list(ops)
    spoiled[reads[-1]] = spoiled[reads[-1]]._replace(value=values[2], modified=1)
    assert not linearizable(spoiled)
    assert index_violations(spoiled)
