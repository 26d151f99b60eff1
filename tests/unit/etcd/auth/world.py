"""A store with accounts, and clients whose replies can be looked at."""

from __future__ import annotations

import asyncio
import base64

from coreos_py.etcd.auth.gate import Gate
from coreos_py.etcd.auth.passwords import Passwords
from coreos_py.http.exchange import Pending
from coreos_py.http.message import Request, Response
from coreos_py.store.store import Store

NOW_NS = 1_700_000_000_000_000_000


def basic(credentials: str) -> bytes:
    return b"Basic " + base64.b64encode(credentials.encode())


class CountingPasswords(Passwords):
    """Knows `hash of x` as the hash of x, and counts how often it is asked."""

    def __init__(self):
        super().__init__(cost=4)
        self.checks = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def hash(self, password):
        return f"hash of {password.decode()}"

    async def check(self, stored, password):
        self.checks.append(password.decode())
        await self.may_answer.wait()
        return stored == f"hash of {password.decode()}"


class Client:
    """The far end of a connection with one reply on it."""

    keep = True

    def __init__(self, result, request):
        self.response = None
        self.stream = b""
        self.ended = False
        self.pending = result if isinstance(result, Pending) else None
        if self.pending is None:
            self.response = result
        else:
            self.pending.attach(self, request)

    def finish(self, response):
        self.response = response
        self.ended = True

    def send(self, data):
        self.stream += data

    def backlog(self):
        return 0

    def on_drain(self, callback):
        callback()

    def release(self):
        raise AssertionError("nobody takes this connection over")

    def abort(self):
        raise AssertionError("nobody cuts this connection off")

    def leave(self):
        assert self.pending is not None
        self.pending.abandon()


class World:
    """Auth on, with users `name:password` and their roles."""

    def __init__(self):
        self.store = Store()
        self.passwords = CountingPasswords()
        self.gate = Gate(self.store, self.passwords, cluster_header=b"X-Etcd-Cluster-Id: 1\r\n")
        self.set("enabled", "true")

    def set(self, path, value):
        self.store.set(f"/2/{path}", value=value, now_ns=NOW_NS)

    def user(self, name, password, *roles):
        names = ",".join(f'"{role}"' for role in roles)
        text = f'{{"user":"{name}","password":"hash of {password}","roles":[{names}]}}'
        self.set(f"users/{name}", text)

    def role(self, name, *, read=(), write=()):
        lists = ["[" + ",".join(f'"{item}"' for item in items) + "]" for items in (read, write)]
        kv = f'{{"kv":{{"read":{lists[0]},"write":{lists[1]}}}}}'
        self.set(f"roles/{name}", f'{{"role":"{name}","permissions":{kv}}}')

    def drop(self, path):
        self.store.delete(f"/2/{path}", now_ns=NOW_NS)

    def request(self, method="GET", *, header=None):
        headers = {} if header is None else {b"authorization": header}
        return Request(method, b"/v2/keys/x", headers, 1)

    def ask(self, key, *, method="GET", header=None, recursive=False, extra=b""):
        """One request as the keys API makes it: its client."""
        request = self.request(method, header=header)

        def handle():
            refusal = self.gate.check_key(
                request, key, recursive=recursive, streams=False, extra=extra, again=handle
            )
            return Response(200) if refusal is None else refusal

        return Client(handle(), request)

    async def status(self, key, **options):
        """The status of one request, once it is known."""
        client = self.ask(key, **options)
        await self.settled()
        assert client.response is not None
        return client.response.status

    async def settled(self):
        for _ in range(5):
            await asyncio.sleep(0)
