"""Members that come, go and move: proposed here, and applied when a majority has agreed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from coreos_py.base.errors import CoreosError
from coreos_py.base.golog import NOTICE
from coreos_py.etcd import membership, pb
from coreos_py.etcd.membership import Member, MembershipError
from coreos_py.raft.types import ConfChange, ConfChangeType

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.etcd.server import Server
    from coreos_py.etcd.waiters import Done

NOT_ENOUGH_STARTED = "etcdserver: re-configuration failed due to not enough started members"

log = logging.getLogger("etcdserver")


class MemberChanges:
    """The membership of one server's cluster in motion. `done` hears MembershipError if refused."""

    def __init__(
        self,
        server: Server,
        *,
        propose: Callable[[bytes, Done], None],
        on_leave: Callable[[], None],
    ) -> None:
        """`on_leave` is called when this very member was removed."""
        self._server = server
        self._cluster = server.cluster
        self._strict = server.config.strict_reconfig_check
        self._propose = propose
        self._on_leave = on_leave

    def add(self, member: Member, done: Done) -> None:
        """Propose a new member."""
        if self._strict and not self._cluster.may_add():
            done(None, CoreosError(NOT_ENOUGH_STARTED))
        else:
            self._change(ConfChangeType.ADD_NODE, member, done)

    def remove(self, number: int, done: Done) -> None:
        """Propose to remove a member for good."""
        if self._strict and not self._cluster.may_remove(number):
            done(None, CoreosError(NOT_ENOUGH_STARTED))
            return
        change = ConfChange(self._server.next_id(), ConfChangeType.REMOVE_NODE, number)
        self._propose(pb.encode_conf_change(change), done)

    def update(self, member: Member, done: Done) -> None:
        """Propose new peer URLs for a member."""
        self._change(ConfChangeType.UPDATE_NODE, member, done)

    def _change(self, kind: ConfChangeType, member: Member, done: Done) -> None:
        context = membership.member_json(member).encode()
        change = ConfChange(self._server.next_id(), kind, member.id, context)
        self._propose(pb.encode_conf_change(change), done)

    def apply(self, data: bytes, *, now_ns: int) -> MembershipError | None:
        """Carry out a change that is committed, or say why it is none."""
        server, cluster = self._server, self._cluster
        change = pb.decode_conf_change(data)
        try:
            member = cluster.check(change, server.store)
        except MembershipError as error:
            server.node.apply_conf_change(change._replace(node_id=0))
            return error
        server.node.apply_conf_change(change)
        match change.type:
            case ConfChangeType.ADD_NODE:
                assert member is not None
                self._added(member, now_ns)
            case ConfChangeType.REMOVE_NODE:
                self._removed(change.node_id, now_ns)
            case ConfChangeType.UPDATE_NODE:
                assert member is not None
                self._updated(member, now_ns)
        return None

    def _added(self, member: Member, now_ns: int) -> None:
        server = self._server
        self._cluster.add(member, server.store, now_ns=now_ns)
        what = "added local member" if member.id == server.id else "added member"
        self._log(what, member, "to")
        if member.id != server.id:
            server.transport.add_peer(member.id, member.peer_urls)

    def _removed(self, number: int, now_ns: int) -> None:
        server = self._server
        self._cluster.remove(number, server.store, now_ns=now_ns)
        if number == server.id:
            self._on_leave()
            return
        server.transport.remove_peer(number)
        log.log(NOTICE, "removed member %x from cluster %x", number, self._cluster.id)

    def _updated(self, member: Member, now_ns: int) -> None:
        server = self._server
        urls = member.peer_urls
        self._cluster.update_peer_urls(member.id, urls, store=server.store, now_ns=now_ns)
        what = "update local member" if member.id == server.id else "update member"
        self._log(what, member, "in")
        if member.id != server.id:
            server.transport.update_peer(member.id, urls)

    def _log(self, what: str, member: Member, where: str) -> None:
        urls = " ".join(member.peer_urls)
        log.log(NOTICE, "%s %x [%s] %s cluster %x", what, member.id, urls, where, self._cluster.id)
