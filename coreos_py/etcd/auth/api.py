"""/v2/auth: users, roles, and the switch.

Mirrors authHandler of etcd 2.3.8's etcdhttp/client_auth.go and capability.go.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from coreos_py.base.errors import RAFT_INTERNAL, StoreError
from coreos_py.etcd import replies
from coreos_py.etcd.auth import codec
from coreos_py.etcd.auth.accounts import Accounts
from coreos_py.etcd.auth.deferred import Deferred
from coreos_py.etcd.auth.gate import INTERNAL
from coreos_py.etcd.auth.model import AuthError
from coreos_py.http.message import Request, Response

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from coreos_py.etcd.auth.gate import Gate
    from coreos_py.etcd.auth.model import User
    from coreos_py.etcd.auth.passwords import Passwords
    from coreos_py.etcd.server import Server
    from coreos_py.http.exchange import Pending

PREFIX = "/v2/auth"
CAPABLE = ("2.1.0", "2.2.0", "2.3.0")
"""The cluster versions whose every member knows about auth."""

_ONE = ("GET", "PUT", "DELETE")
_ALL = ("GET",)

log = logging.getLogger("etcdhttp")


class Refused(Exception):
    """A request that cannot be carried out as it is."""

    def __init__(self, text: str) -> None:
        super().__init__(text)


class AuthAPI:
    """Answers requests below /v2/auth. `path` is decoded and clean."""

    def __init__(self, server: Server, gate: Gate, passwords: Passwords) -> None:
        self._server = server
        self._gate = gate
        self._accounts = Accounts(server, passwords)
        self._cluster_header = b"X-Etcd-Cluster-Id: %x\r\n" % server.cluster.id
        self._tasks: set[asyncio.Task[Response]] = set()

    def handle(self, request: Request, path: str, *, extra: bytes) -> Response | Pending:
        """The reply, or a Pending for what takes its time."""
        kind, _, name = path.removeprefix(f"{PREFIX}/").rstrip("/").partition("/")
        if kind not in ("users", "roles") and path != f"{PREFIX}/enable":
            return replies.not_found()
        if self._server.cluster.version not in CAPABLE:
            text = "Not capable of accessing auth feature during rolling upgrades."
            return replies.message(500, text)
        if "/" in name:
            return replies.message(400, "Invalid path")
        methods = _ONE if name or kind == "enable" else _ALL
        if request.method not in methods:
            return replies.not_allowed(*methods)
        if (kind != "enable" or request.method != "GET") and self._gate.is_on():
            again = partial(self.handle, request, path, extra=extra)
            refusal = self._gate.check_root(request, path, extra=extra, again=again)
            if refusal is not None:
                return refusal
        return self._start(self._work(request, kind, name), extra)

    def _work(self, request: Request, kind: str, name: str) -> Coroutine[None, None, Response]:
        if kind == "enable":
            return self._switch(request)
        if not name:
            return self._all_users() if kind == "users" else self._all_roles()
        return self._user(request, name) if kind == "users" else self._role(request, name)

    def _start(self, work: Coroutine[None, None, Response], extra: bytes) -> Pending:
        reply = Deferred(extra)
        task = asyncio.get_running_loop().create_task(self._answer(work))
        self._tasks.add(task)

        def done(task: asyncio.Task[Response]) -> None:
            self._tasks.discard(task)
            if not task.cancelled():
                reply.settle(task.result)

        task.add_done_callback(done)
        return reply

    async def _answer(self, work: Coroutine[None, None, Response]) -> Response:
        headers = self._cluster_header
        try:
            return await work
        except Refused as refused:
            return replies.message(400, str(refused), headers=headers)
        except AuthError as error:
            return replies.message(error.status, str(error), headers=headers)
        except StoreError as error:
            if error.code != RAFT_INTERNAL:
                return replies.store_error(error, headers=headers)
            log.error("got unexpected response error (%s)", error.cause)
        except ValueError as error:
            log.error("got unexpected response error (%s)", error)
        return replies.message(500, INTERNAL, headers=headers)

    # -- the switch ------------------------------------------------------------------------------

    async def _switch(self, request: Request) -> Response:
        enabled = self._accounts.enabled()
        if request.method == "PUT":
            await self._accounts.enable()
            return self._done()
        if request.method == "DELETE":
            await self._accounts.disable()
            return self._done()
        word = "true" if enabled else "false"
        return self._json(f'{{"enabled":{word}}}')

    # -- users -----------------------------------------------------------------------------------

    async def _all_users(self) -> Response:
        shown = [self._shown(name) for name in self._accounts.users()]
        return self._json(f'{{"users":[{",".join(shown)}]}}' if shown else '{"users":null}')

    def _shown(self, name: str) -> str:
        user = self._accounts.user(name)
        roles = []
        for role in user.roles or ():
            try:
                roles.append(self._accounts.role(role))
            except (AuthError, StoreError, ValueError):
                continue  # in the list of all users a role that is gone does not matter
        return codec.write_user_with_roles(user, roles)

    async def _user(self, request: Request, name: str) -> Response:
        accounts = self._accounts
        if request.method == "DELETE":
            await accounts.delete_user(name)
            return self._done()
        if request.method == "PUT":
            return await self._put_user(request, name)
        user = accounts.user(name)
        roles = [accounts.role(role) for role in user.roles or ()]
        return self._json(codec.write_user_with_roles(user, roles))

    async def _put_user(self, request: Request, name: str) -> Response:
        try:
            asked = codec.read_user(request.body, whole=False)
        except ValueError:
            raise Refused("Invalid JSON in request body.") from None
        if asked.user != name:
            raise Refused("User JSON name does not match the name in the URL")
        user, is_new = await self._write_user(asked)
        return self._json(codec.write_user(user._replace(password="")), is_new=is_new)

    async def _write_user(self, asked: User) -> tuple[User, bool]:
        if asked.grant or asked.revoke:
            if asked.roles:
                raise Refused("User JSON contains both roles and grant/revoke")
            return await self._accounts.update_user(asked), False
        if asked.roles:  # etcd 2.3.8 answers 200 here, new as the user is
            return await self._accounts.create_user(asked), False
        return await self._accounts.create_or_update_user(asked)

    # -- roles -----------------------------------------------------------------------------------

    async def _all_roles(self) -> Response:
        roles = [self._accounts.role(name) for name in self._accounts.roles()]
        shown = ",".join([codec.write_role(role) for role in roles])
        return self._json(f'{{"roles":[{shown}]}}')

    async def _role(self, request: Request, name: str) -> Response:
        if request.method == "DELETE":
            await self._accounts.delete_role(name)
            return self._done()
        if request.method == "PUT":
            return await self._put_role(request, name)
        return self._json(codec.write_role(self._accounts.role(name)))

    async def _put_role(self, request: Request, name: str) -> Response:
        try:
            asked = codec.read_role(request.body, whole=False)
        except ValueError:
            raise Refused("Invalid JSON in request body.") from None
        if asked.role != name:
            raise Refused("Role JSON name does not match the name in the URL")
        if not asked.is_change:
            await self._accounts.create_role(asked)
            return self._json(codec.write_role(asked), is_new=True)
        if not asked.kv.is_empty:
            raise Refused("Role JSON contains both permissions and grant/revoke")
        return self._json(codec.write_role(await self._accounts.update_role(asked)))

    # -- replies ---------------------------------------------------------------------------------

    def _json(self, text: str, *, is_new: bool = False) -> Response:
        status = 201 if is_new else 200
        return replies.json_reply(text, status=status, headers=self._cluster_header)

    def _done(self) -> Response:
        return Response(200, replies.JSON_TYPE + self._cluster_header)
