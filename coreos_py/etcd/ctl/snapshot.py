"""etcdctl snapshot: save, check and restore copies of a running cluster. Ours; 2.3 has none."""

from __future__ import annotations

import errno
import json
import os

from coreos_py.base.atomic import fsync_dir, is_special, write_all
from coreos_py.base.errors import CoreosError
from coreos_py.etcd.ctl.session import (
    EXIT_BAD_ARGS,
    EXIT_SERVER_ERROR,
    Fatal,
    fail,
    synced_client,
    unsynced_client,
)
from coreos_py.etcd.snap import read_snapshot
from coreos_py.etcd.wal_files import failure
from coreos_py.etcdclient.calls import Call as ApiCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from coreos_py.cli.program import Call
    from coreos_py.etcd.offline.restore import Loaded
    from coreos_py.http.client import ReplyStream

_TARGET = "/v2/snapshot"


def save(call: Call) -> int:
    """Download a copy, check it, and put it in place of FILE."""
    path = _file(call)
    local = call.flags["local"]
    client = unsynced_client(call) if local else synced_client(call)
    target = f"{_TARGET}?local=true" if local else _TARGET
    try:
        stream = client.download(ApiCall("GET", target))
        if stream.status != 200:
            _refused(stream)
        meta, size = _receive(stream, path)
    except CoreosError as err:
        if isinstance(err, Fatal):
            raise
        fail(EXIT_SERVER_ERROR, err)
    print(f"Saved {size} bytes of index {meta} to {path}")
    return 0


def status(call: Call) -> int:
    """Check a copy to its last byte and tell what it is of."""
    from coreos_py.etcd.offline import restore as offline

    path = _file(call)
    try:
        loaded = offline.load(path)
        members = offline.members_of(loaded)
    except CoreosError as err:
        raise Fatal(EXIT_BAD_ARGS, f"{err}\n") from None
    meta = loaded.snapshot.meta
    facts: dict[str, object] = {
        "hash": f"{loaded.crc:08x}",
        "raftIndex": meta.index,
        "raftTerm": meta.term,
        "etcdIndex": loaded.store.index,
        "keys": _count_keys(loaded),
        "bytes": len(loaded.snapshot.data),
        "members": [f"{m.id:x}={m.name}={','.join(m.peer_urls)}" for m in members],
    }
    if call.settings["output"] == "json":
        print(json.dumps(facts))
        return 0
    for name, value in facts.items():
        for item in value if isinstance(value, list) else [value]:
            print(f"{name}: {item}")
    return 0


def restore(call: Call) -> int:
    """Make a data directory: keys from the copy, name, URLs and members as given."""
    from coreos_py.etcd.datadir import member_dirs
    from coreos_py.etcd.offline import restore as offline

    path, flags = _file(call), call.flags
    name = flags["name"]
    data_dir = flags["data-dir"] or f"{name}.etcd"
    plan = offline.Plan(
        name,
        flags["initial-cluster"],
        flags["initial-cluster-token"],
        flags["initial-advertise-peer-urls"],
    )
    try:
        loaded = offline.load(path)
        metadata = offline.restore(loaded, plan, member_dirs(data_dir, wal_dir=flags["wal-dir"]))
    except CoreosError as err:
        raise Fatal(EXIT_BAD_ARGS, f"{err}\n") from None
    print(
        f"Restored member {metadata.node_id:x} named {name} of cluster {metadata.cluster_id:x}"
        f" at index {loaded.snapshot.meta.index} to {data_dir}"
    )
    return 0


def _file(call: Call) -> str:
    if len(call.args) != 1:
        raise Fatal(EXIT_BAD_ARGS, "one file is wanted\n")
    return call.args[0]


def _refused(stream: ReplyStream) -> None:
    body = b"".join(stream.pieces())
    if stream.status == 404:
        problem = "this server cannot send snapshots; use etcdctl backup on its data directory"
        raise Fatal(EXIT_SERVER_ERROR, f"Error:  {problem}\n")
    try:
        text = json.loads(body)["message"]
    except (ValueError, TypeError, KeyError):
        text = f"unexpected status code {stream.status}"
    fail(EXIT_SERVER_ERROR, text)


def _receive(stream: ReplyStream, path: str) -> tuple[int, int]:
    """Write the body beside `path` and rename it there once it has proved whole."""
    temp = f"{path}.part"
    size = 0
    try:
        if is_special(path):
            raise OSError(errno.EINVAL, "Not a regular file")
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for piece in stream.pieces():
                write_all(fd, piece)
                size += len(piece)
            os.fsync(fd)
        finally:
            os.close(fd)
        index = read_snapshot(temp).meta.index
        os.rename(temp, path)
        fsync_dir(os.path.dirname(path) or ".")
    except OSError as error:
        _forget(temp)
        raise Fatal(EXIT_BAD_ARGS, f"{failure(path, error)}\n") from None
    except BaseException:
        _forget(temp)
        raise
    return index, size


def _forget(temp: str) -> None:
    try:
        os.unlink(temp)
    except FileNotFoundError:
        return


def _count_keys(loaded: Loaded) -> int:
    """Files below /1, hidden ones too."""
    nodes = loaded.store.all_nodes()
    return sum(1 for node in nodes if node.key.startswith("/1/") and not node.is_dir)
