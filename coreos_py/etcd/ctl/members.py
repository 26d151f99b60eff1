"""etcdctl member list, add, remove, update. Errors are printed bare here, as etcdctl 2.3.8 does."""

from __future__ import annotations

import sys

from coreos_py.base.errors import CoreosError
from coreos_py.base.gostring import quote
from coreos_py.etcd.ctl.session import EXIT_BAD_ARGS, Fatal, limit, synced_client
from coreos_py.etcdclient import calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from coreos_py.cli.program import Call
    from coreos_py.etcdclient.model import Member

_REMOVE_DOC = (
    "https://github.com/coreos/etcd/blob/master/Documentation/"
    "runtime-configuration.md#remove-a-member"
)


def list_(call: Call) -> int:
    """One line per member, with the leader marked."""
    if call.args:
        _bad("No arguments accepted")
    client = synced_client(call)
    limit(call, client)
    try:
        members = client.members()
    except CoreosError as err:
        _bad(err)
    try:
        leader = client.leader()
    except CoreosError as err:
        _bad(f"Failed to get leader:  {err}")
    for member in members:
        peers = ",".join(member.peer_urls)
        if not member.name:
            print(f"{member.id}[unstarted]: peerURLs={peers}")
        else:
            is_leader = "true" if member.id == leader.id else "false"
            clients = ",".join(member.client_urls)
            print(
                f"{member.id}: name={member.name} peerURLs={peers} clientURLs={clients} "
                f"isLeader={is_leader}"
            )
    return 0


def add(call: Call) -> int:
    """Announce a member that will join; print the environment it is to be started with."""
    if len(call.args) != 2:
        _bad("Provide a name and a single member peerURL")
    name, url = call.args
    client = synced_client(call)
    limit(call, client)
    try:
        reply = client.send(calls.add_member(_urls([url])))
        added = calls.read_member(reply, status=201)
        print(f"Added member named {name} with ID {added.id} to cluster", flush=True)
        members = client.members()
    except (CoreosError, ValueError) as err:
        _bad(err)
    print()
    print(f"ETCD_NAME={quote(name)}")
    print(f"ETCD_INITIAL_CLUSTER={quote(_initial_cluster(members, added, name))}")
    print('ETCD_INITIAL_CLUSTER_STATE="existing"')
    return 0


def remove(call: Call) -> int:
    """Remove a member by its id."""
    if len(call.args) != 1:
        _bad("Provide a single member ID")
    member_id = call.args[0]
    client = synced_client(call)
    limit(call, client)
    try:
        members = client.members()
    except CoreosError as err:
        _bad(f"Error while verifying ID against known members: {err}")
    for member in members:
        if member.name == member_id:
            _hint_id(member)
    if member_id not in [member.id for member in members]:
        _bad(f"Couldn't find a member in the cluster with an ID of {member_id}.")
    try:
        calls.check_removed(client.send(calls.remove_member(member_id)))
    except CoreosError as err:
        problem = f"Received an error trying to remove member {member_id}: {err}"
        raise Fatal(EXIT_BAD_ARGS, problem) from None
    print(f"Removed member {member_id} from cluster")
    return 0


def update(call: Call) -> int:
    """Change the peer URLs of a member."""
    if len(call.args) != 2:
        _bad(
            "Provide an ID and a list of comma separated peerURL "
            "(0xabcd http://example.com,http://example1.com)"
        )
    member_id, urls = call.args
    client = synced_client(call)
    limit(call, client)
    try:
        reply = client.send(calls.update_member(member_id, _urls(urls.split(","))))
        calls.check_updated(reply)
    except (CoreosError, ValueError) as err:
        _bad(err)
    print(f"Updated member with ID {member_id} in cluster")
    return 0


def _bad(err: object) -> NoReturn:
    raise Fatal(EXIT_BAD_ARGS, f"{err}\n")


def _urls(urls: list[str]) -> tuple[str, ...]:
    """Checked and sorted, as the server would refuse them."""
    from coreos_py.etcd.urls import parse_urls

    return parse_urls(urls)


def _initial_cluster(members: list[Member], added: Member, name: str) -> str:
    return ",".join(
        f"{name if member.id == added.id else member.name}={url}"
        for member in members
        for url in member.peer_urls
    )


def _hint_id(member: Member) -> None:
    print(
        f"Found a member named {member.name}; if this is correct, please use its ID, eg:\n"
        f"\tetcdctl member remove {member.id}\n"
        f"For more details, read the documentation at {_REMOVE_DOC}\n",
        file=sys.stderr,
    )
