"""A cluster driven by hand, one command at a time: what the raft transcripts talk to.

Every node has a disk that knows only what was fsynced; messages wait in one queue until
`deliver`. Everything a node hands out is printed, so a transcript is the whole story.
"""

from __future__ import annotations

from coreos_py.etcd import pb
from coreos_py.raft.errors import RaftError
from coreos_py.raft.log import MemoryLog
from coreos_py.raft.node import Config, RawNode
from coreos_py.raft.types import (
    ConfChange,
    ConfChangeType,
    Entry,
    EntryType,
    HardState,
    Message,
    MsgType,
    Ready,
    Snapshot,
    SnapshotMeta,
)

ROLES = {0: "follower", 1: "candidate", 2: "leader"}
NAMES = {
    MsgType.PROP: "MsgProp",
    MsgType.APP: "MsgApp",
    MsgType.APP_RESP: "MsgAppResp",
    MsgType.VOTE: "MsgVote",
    MsgType.VOTE_RESP: "MsgVoteResp",
    MsgType.SNAP: "MsgSnap",
    MsgType.HEARTBEAT: "MsgHeartbeat",
    MsgType.HEARTBEAT_RESP: "MsgHeartbeatResp",
}


class Jitter:
    """Election timeouts of T+1+(id-1) ticks, so that transcripts know who is first."""

    def __init__(self, node: int):
        self.node = node

    def randrange(self, stop: int) -> int:
        return (self.node - 1) % stop


class Disk:
    """What survives a crash."""

    def __init__(self):
        self.hard_state = HardState()
        self.entries: list[Entry] = []
        self.snapshot: Snapshot | None = None

    def save(self, ready: Ready) -> None:
        if ready.snapshot is not None:
            self.snapshot = ready.snapshot
            self.entries = []
        if ready.entries:
            first = ready.entries[0].index
            self.entries = [e for e in self.entries if e.index < first] + ready.entries
        if ready.hard_state is not None:
            self.hard_state = ready.hard_state

    def load(self) -> MemoryLog:
        start = self.snapshot.meta.index if self.snapshot else 0
        return MemoryLog(
            snapshot=self.snapshot,
            entries=[e for e in self.entries if e.index > start],
            hard_state=self.hard_state,
        )


class Node:
    def __init__(self, config: Config, disk: Disk):
        self.config = config
        self.disk = disk
        self.history: list[str] = []
        self.saving: Ready | None = None
        self.raw = RawNode(config, disk.load(), rng=Jitter(config.id))
        if disk.snapshot:
            self.history = disk.snapshot.data.decode().split()


def show_entry(e: Entry) -> str:
    if e.type == EntryType.CONF_CHANGE:
        change = pb.decode_conf_change(e.data)
        word = ConfChangeType(change.type).name.split("_")[0].lower()
        return f"{e.term}/{e.index} {word}-{change.node_id}"
    return f"{e.term}/{e.index} {e.data.decode()!r}" if e.data else f"{e.term}/{e.index} -"


def show_message(m: Message) -> str:
    words = [f"{m.from_}->{m.to} {NAMES[MsgType(m.type)]}"]
    if m.type != MsgType.PROP:
        words.append(f"term={m.term}")
    if m.type == MsgType.APP:
        words.append(f"prev={m.log_term}/{m.index}")
    elif m.type == MsgType.VOTE:
        words.append(f"last={m.log_term}/{m.index}")
    elif m.type == MsgType.APP_RESP:
        words.append(f"index={m.index}")
    if m.type in (MsgType.APP, MsgType.HEARTBEAT):
        words.append(f"commit={m.commit}")
    if m.reject:
        words.append("rejected")
        if m.type == MsgType.APP_RESP:
            words.append(f"hint={m.reject_hint}")
    if m.snapshot:
        words.append(f"snapshot={m.snapshot.meta.term}/{m.snapshot.meta.index}")
        words.append(f"nodes={list(m.snapshot.meta.nodes)}")
    if m.context:
        words.append(f"read={int.from_bytes(m.context, 'big')}")
    if m.entries:
        words.append("entries=[" + ", ".join(show_entry(e) for e in m.entries) + "]")
    return " ".join(words)


class Cluster:
    """The handler of raft transcripts: one instance per file."""

    def __init__(self):
        self.nodes: dict[int, Node] = {}
        self.down: dict[int, Node] = {}
        self.queue: list[Message] = []
        self.out: list[str] = []

    def execute(self, command) -> str:
        self.out = []
        try:
            getattr(self, "do_" + command.name.replace("-", "_"))(command)
        except RaftError as error:
            self.out.append(f"{type(error).__name__}: {error}")
        return "\n".join(self.out)

    # -- commands -------------------------------------------------------------------------

    def do_add_nodes(self, c) -> None:
        """add-nodes 3: found a cluster; add-nodes joining=4: an empty node; see log=, term=."""
        count = c.ids()[0] if c.bare else 0
        members = list(range(1, count + 1))
        for node in members or [c.number("joining")]:
            config = Config(
                node,
                election_ticks=c.number("election", default=3),
                max_inflight=c.number("inflight", default=512),
                max_size_per_msg=c.number("max-size", default=1 << 20),
                check_quorum=c.options.get("check-quorum", "on") == "on",
            )
            disk = Disk()
            if "index" in c.options:
                meta = SnapshotMeta(c.number("index"), c.number("term"), tuple(members))
                disk.snapshot = Snapshot(b"", meta)
                disk.hard_state = HardState(meta.term, 0, meta.index)
            self.nodes[node] = Node(config, disk)
            if members and "index" not in c.options:
                peers = [(m, self._conf(m, ConfChangeType.ADD_NODE)) for m in members]
                self.nodes[node].raw.bootstrap(peers)
                self._process(node, quiet=True)

    def do_log(self, c) -> None:
        """log 2 terms=(1 1 4): a node that starts with these entries on disk, after term=."""
        node = self.nodes[c.ids()[0]]
        disk = node.disk
        start = disk.snapshot.meta.index if disk.snapshot else 0
        disk.entries = [
            Entry(t, start + i, 0, f"{t}.{start + i}".encode())
            for i, t in enumerate(c.numbers("terms"), 1)
        ]
        disk.hard_state = HardState(c.number("term"), c.number("vote"), start)
        self.nodes[node.config.id] = Node(node.config, disk)

    def do_campaign(self, c) -> None:
        for node in c.ids():
            self.nodes[node].raw.campaign()

    def do_tick(self, c) -> None:
        for node in c.ids():
            for _ in range(c.number("n", default=1)):
                self.nodes[node].raw.tick()

    def do_propose(self, c) -> None:
        node, *datas = c.bare
        self.nodes[int(node)].raw.propose([data.encode() for data in datas])

    def do_propose_conf(self, c) -> None:
        raw = self.nodes[c.ids()[0]].raw
        if "add" in c.options:
            raw.propose_conf(self._conf(c.number("add"), ConfChangeType.ADD_NODE))
        else:
            raw.propose_conf(self._conf(c.number("remove"), ConfChangeType.REMOVE_NODE))

    def do_read_index(self, c) -> None:
        self.nodes[int(c.bare[0])].raw.read_index(c.bare[1].encode())

    def do_process_ready(self, c) -> None:
        """process-ready 1 2 [save=later]: with `later` the save ends at `fsync`."""
        for node in c.ids():
            self._process(node, later=c.options.get("save") == "later")

    def do_fsync(self, c) -> None:
        for node in c.ids():
            self._saved(node)

    def do_send_early(self, c) -> None:
        """What a node may send while its disk is busy."""
        for node in c.ids():
            self._send(self.nodes[node].raw.early_messages())

    def do_deliver(self, c) -> None:
        """deliver [to=(..)] [from=(..)] [type=MsgApp] [n=1] [drop=yes|dup=yes]."""
        limit = c.number("n", default=len(self.queue))
        taken: list[Message] = []
        kept: list[Message] = []
        for m in self.queue:
            fits = self._fits(m, c) and len(taken) < limit
            (taken if fits else kept).append(m)
        self.queue = kept + (taken if "dup" in c.options else [])
        for m in taken:
            self.out.append(("dropped " if "drop" in c.options else "") + show_message(m))
            if "drop" not in c.options:
                self._deliver(m)

    def do_stabilize(self, c) -> None:
        """Process and deliver until nothing is left; with ids, only among these nodes."""
        ids = c.ids() or sorted(self.nodes)
        quiet = c.options.get("log") == "off"
        while True:
            busy = [node for node in ids if node in self.nodes and self._busy(node)]
            for node in busy:
                self._process(node, quiet=quiet)
            now = [m for m in self.queue if m.to in ids and m.from_ in ids]
            self.queue = [m for m in self.queue if m not in now]
            for m in now:
                self._deliver(m)
            if not busy and not now:
                return

    def do_crash(self, c) -> None:
        for node in c.ids():
            self.down[node] = self.nodes.pop(node)
            self.queue = [m for m in self.queue if m.to != node]

    def do_restart(self, c) -> None:
        for node in c.ids():
            old = self.down.pop(node, None) or self.nodes[node]
            self.nodes[node] = Node(old.config, old.disk)

    def do_compact(self, c) -> None:
        """compact 1 index: snapshot what is applied, drop entries up to the index."""
        node_id, index = c.ids()
        node = self.nodes[node_id]
        storage = node.raw.storage
        storage.create_snapshot(
            node.raw.applied, nodes=node.raw.nodes, data=" ".join(node.history).encode()
        )
        storage.compact(index)
        node.disk.snapshot = storage.snapshot()

    def do_send_snapshot(self, c) -> None:
        """send-snapshot 1 2: whatever snapshot 1 has, as a late message to 2."""
        sender, to = c.ids()
        raw = self.nodes[sender].raw
        snapshot = raw.storage.snapshot()
        self._send([Message(MsgType.SNAP, to, sender, raw.term, snapshot=snapshot)])

    def do_report_unreachable(self, c) -> None:
        self.nodes[c.ids()[0]].raw.report_unreachable(c.ids()[1])

    def do_report_snapshot(self, c) -> None:
        ok = c.options.get("ok", "yes") == "yes"
        self.nodes[c.ids()[0]].raw.report_snapshot(c.ids()[1], ok=ok)

    def do_status(self, c) -> None:
        for node in c.ids() or sorted(self.nodes):
            s = self.nodes[node].raw.status()
            self.out.append(
                f"{node}: {ROLES[s.role]} term={s.term} vote={s.vote} leader={s.leader}"
                f" commit={s.committed} applied={s.applied} last={s.last_index}"
                f" nodes={list(s.nodes)}"
            )
            for peer, p in s.progress.items():
                if peer != node and c.options.get("progress") != "off":
                    paused = " paused" if p.paused else ""
                    state = p.state.name.lower()
                    self.out.append(f"   {peer}: {state} match={p.match} next={p.next}{paused}")

    def do_raft_log(self, c) -> None:
        for node in c.ids() or sorted(self.nodes):
            storage = self.nodes[node].raw.storage
            entries = storage.entries(storage.first_index, storage.last_index + 1)
            self.out.append(f"{node}: " + (", ".join(map(show_entry, entries)) or "empty"))

    def do_applied(self, c) -> None:
        for node in c.ids() or sorted(self.nodes):
            self.out.append(f"{node}: {' '.join(self.nodes[node].history) or '-'}")

    def do_messages(self, c) -> None:
        self.out.extend(show_message(m) for m in self.queue)

    # -- machinery ------------------------------------------------------------------------

    @staticmethod
    def _conf(node: int, kind: ConfChangeType) -> bytes:
        return pb.encode_conf_change(ConfChange(0, kind, node))

    @staticmethod
    def _fits(m: Message, c) -> bool:
        return (
            (not c.numbers("to") or m.to in c.numbers("to"))
            and (not c.numbers("from") or m.from_ in c.numbers("from"))
            and c.options.get("type", NAMES[MsgType(m.type)]) == NAMES[MsgType(m.type)]
        )

    def _busy(self, node_id: int) -> bool:
        node = self.nodes[node_id]
        return node.saving is not None or node.raw.has_ready()

    def _deliver(self, m: Message) -> None:
        if m.to in self.nodes:
            self.nodes[m.to].raw.step(pb.decode_message(pb.encode_message(m)))

    def _send(self, messages: list[Message], *, quiet: bool = False) -> None:
        for m in messages:
            if m.to not in self.down:
                self.queue.append(m)
            if not quiet:
                lost = "  (lost)" if m.to in self.down else ""
                self.out.append(f"  {show_message(m)}{lost}")

    def _process(self, node_id: int, *, later: bool = False, quiet: bool = False) -> None:
        node = self.nodes[node_id]
        if node.saving is not None:
            self._saved(node_id, quiet=quiet)
            return
        if not node.raw.has_ready():
            self.out.append(f"{node_id}: nothing")
            return
        ready = node.saving = node.raw.ready()
        if not quiet:
            self.out.extend(self._show_ready(node_id, ready))
        if not later:
            self._saved(node_id, quiet=quiet)

    def _show_ready(self, node_id: int, ready: Ready) -> list[str]:
        lines = []
        if ready.soft_state:
            role = ROLES[ready.soft_state.role]
            lines.append(f"  {role}, leader {ready.soft_state.leader}")
        if ready.hard_state:
            hard = ready.hard_state
            lines.append(f"  state term={hard.term} vote={hard.vote} commit={hard.commit}")
        if ready.snapshot:
            meta = ready.snapshot.meta
            lines.append(f"  snapshot {meta.term}/{meta.index} nodes={list(meta.nodes)}")
        if ready.entries:
            lines.append("  entries " + ", ".join(map(show_entry, ready.entries)))
        if ready.committed:
            lines.append("  committed " + ", ".join(map(show_entry, ready.committed)))
        lines.extend(f"  read {r.context.decode()} at {r.index}" for r in ready.read_states)
        return [f"{node_id}: ready" + (", sync" if ready.must_sync else ""), *lines]

    def _saved(self, node_id: int, *, quiet: bool = False) -> None:
        node = self.nodes[node_id]
        ready, node.saving = node.saving, None
        if ready is None:
            self.out.append(f"{node_id}: nothing to save")
            return
        node.disk.save(ready)
        self._send(ready.messages, quiet=quiet)
        if ready.snapshot:
            node.history = ready.snapshot.data.decode().split()
        for entry in ready.committed:
            if entry.type == EntryType.CONF_CHANGE:
                node.raw.apply_conf_change(pb.decode_conf_change(entry.data))
            elif entry.data:
                node.history.append(entry.data.decode())
        node.raw.advance(ready)
