"""Clients that work on an etcd cluster and write down what they saw (tests/support/history.py)."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import re
import threading
import time
import urllib.parse
from typing import Any

from tests.support.history import ABSENT, UNSEEN, Op

KEY_NOT_FOUND, COMPARE_FAILED = 100, 101
REFUSALS = (KEY_NOT_FOUND, COMPARE_FAILED)


class Recorder:
    """`per_member` clients on each client URL, one request in flight each, on `keys` keys.

    Keys are below `prefix`, where nothing may be yet. Values are unique. Reads are quorum reads
    unless `local_reads`. A key is left for a fresh one after `ops_per_key` operations, which keeps
    the search for an order short.
    """

    def __init__(
        self,
        urls: list[str],
        *,
        rng: random.Random,
        per_member: int = 3,
        keys: int = 10,
        ops_per_key: int = 400,
        timeout_s: float = 2.0,
        local_reads: bool = False,
        prefix: str = "lin",
    ) -> None:
        self.keys, self.ops_per_key, self.prefix = keys, ops_per_key, prefix
        self.timeout_s, self.local_reads = timeout_s, local_reads
        self.ops: list[Op] = []
        self._stop = threading.Event()
        self._values = itertools.count(1)
        self._turns = itertools.count()
        self._threads = [
            threading.Thread(target=self._work, args=(number, url, random.Random(rng.random())))
            for number, url in enumerate(url for url in urls for _ in range(per_member))
        ]

    @property
    def known(self) -> int:
        """How many operations were answered so far."""
        return sum(op.ret is not None for op in self.ops[:])

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[Op]:
        """Ends the clients; the whole history."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.ops

    def _work(self, client: int, url: str, rng: random.Random) -> None:
        host = urllib.parse.urlsplit(url)
        assert host.hostname is not None
        talk = http.client.HTTPConnection(host.hostname, host.port, timeout=self.timeout_s)
        last: dict[str, str] = {}
        while not self._stop.is_set():
            if talk.sock is None and not _connected(talk):
                time.sleep(0.02)  # nobody listens: nothing was asked, nothing is recorded
                continue
            generation = next(self._turns) // (self.ops_per_key * self.keys)
            key = f"{self.prefix}/{generation}-{rng.randrange(self.keys)}"
            op = self._one(talk, client, key, rng, last.get(key))
            self.ops.append(op)
            if op.ret is None:
                talk.close()
            elif op.ok and op.arg is not None:
                last[key] = op.arg
            elif op.op != "delete" and op.value not in (None, UNSEEN):
                last[key] = str(op.value)
        talk.close()

    def _one(
        self,
        talk: http.client.HTTPConnection,
        client: int,
        key: str,
        rng: random.Random,
        seen: str | None,
    ) -> Op:
        kind = rng.choices(("get", "set", "cas", "delete"), (50, 28, 20, 2))[0]
        if kind == "cas" and seen is None:
            kind = "get"
        arg = f"v{next(self._values)}" if kind in ("set", "cas") else None
        prev = seen if kind == "cas" else None
        method, query = {
            "get": ("GET", "" if self.local_reads else "?quorum=true"),
            "set": ("PUT", ""),
            "cas": ("PUT", f"?prevValue={prev}"),
            "delete": ("DELETE", ""),
        }[kind]
        body = f"value={arg}" if arg is not None else None
        call = time.monotonic()
        answer = self._ask(talk, method, f"/v2/keys/{key}{query}", body)
        ret = time.monotonic()
        return _op(client, key, kind, arg, prev, call, ret, answer)

    def _ask(
        self, talk: http.client.HTTPConnection, method: str, path: str, body: str | None
    ) -> dict[str, Any] | None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        try:
            talk.request(method, path, body, headers)
            answer: dict[str, Any] = json.loads(talk.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        return answer


def _connected(talk: http.client.HTTPConnection) -> bool:
    try:
        talk.connect()
    except OSError:
        return False
    return True


def _op(
    client: int,
    key: str,
    kind: str,
    arg: str | None,
    prev: str | None,
    call: float,
    ret: float,
    answer: dict[str, Any] | None,
) -> Op:
    if answer is None or answer.get("errorCode", KEY_NOT_FOUND) not in REFUSALS:
        return Op(client, key, kind, arg, prev, call, None, False, UNSEEN, None)
    if "errorCode" in answer:
        compared = re.fullmatch(r"\[.* != (.*)\]", str(answer["cause"]))
        shown = compared.group(1) if compared else ABSENT
        return Op(client, key, kind, arg, prev, call, ret, False, shown, None)
    shown = answer.get("node" if kind == "get" else "prevNode", {}).get("value", ABSENT)
    modified = answer["node"]["modifiedIndex"]
    return Op(client, key, kind, arg, prev, call, ret, True, shown, modified)
