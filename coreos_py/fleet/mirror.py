"""The jobs of the registry as last read, kept up to date by etcd's events between two readings.

What a pass that an event brought about works from: reading five hundred units again for every one
that changes is what fleet 1.0.0 is slow for. The mirror counts only while `is_live`; periodic
passes read everything anew, correct it, and so find out a stream of events that has gone silent,
as one of etcd 2.3 does that once had a hundred events to send at a time.
Pure: the registry reads and watches.
"""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.etcdclient.model import Node, Result

# An event that is known of and has not come after so long never will.
_LATE_S = 2.0
_REMOVALS = ("delete", "expire", "compareAndDelete")


class Job(NamedTuple):
    """The keys of one job, "" for what is not there."""

    object: str | None = None
    target_state: str = ""
    target: str = ""
    heartbeat: str = ""


_FIELDS = {
    "object": "object",
    "target-state": "target_state",
    "target": "target",
    "job-state": "heartbeat",
}
_EMPTY = Job()


class JobMirror:
    """The jobs below one key."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.jobs: dict[str, Job] = {}
        self.index = 0
        self._read_index = 0
        self.is_live = False
        self._seen = 0  # the index of the last event
        self._awaited = 0  # of one that must come
        self._awaited_since_s = 0.0

    def read(self, directory: Node | None, *, index: int, now_s: float) -> Mapping[str, Job]:
        """Take a full reading made at `index` over, unless events have gone further.

        Return the newer of the two, by name.
        """
        self.expect(_newest(directory), now_s)
        if self.is_live and index < self.index:
            return dict(self.jobs)
        self.jobs, self.index, self._read_index = _jobs(directory), index, index
        return dict(self.jobs)

    def expect(self, index: int, now_s: float) -> None:
        """Note a change of which an event must come, if it has not."""
        if self.is_live and index > self._seen and not self._awaited:
            self._awaited, self._awaited_since_s = index, now_s

    def is_silent(self, now_s: float) -> bool:
        """Tell whether an event that must have come has not."""
        return bool(self._awaited) and now_s >= self._awaited_since_s + _LATE_S

    def start(self, *, index: int) -> bool:
        """Begin to believe: a stream began at `index`. False when the last reading is older."""
        self.is_live = self.index >= index
        self._seen, self._awaited = index, 0
        return self.is_live

    def stop(self) -> None:
        """There are no events any more; the next reading may be of a member that lags behind."""
        self.is_live = False
        self.index = self._awaited = 0

    def apply(self, event: Result) -> None:
        """Take one event over; one from before the last reading changes nothing."""
        node = event.node
        self._seen = max(self._seen, node.modified_index)
        if self._seen >= self._awaited:
            self._awaited = 0
        # Several events may share an index: etcd 3 tells every key that one deletion removes.
        if node.modified_index <= self._read_index:
            return
        self.index = max(self.index, node.modified_index)
        is_removed = event.action in _REMOVALS
        if not node.key.startswith(self._key + "/"):
            if is_removed:  # all of it, or what holds it
                self.jobs = {}
            return
        name, _, field = node.key[len(self._key) + 1 :].partition("/")
        if not field:
            if is_removed:
                self.jobs.pop(name, None)
            return
        if field not in _FIELDS:
            return
        value = Job._field_defaults[_FIELDS[field]] if is_removed else node.value
        job = self.jobs.get(name, _EMPTY)._replace(**{_FIELDS[field]: value})
        if job == _EMPTY:
            self.jobs.pop(name, None)
        else:
            self.jobs[name] = job


def job_of(directory: Node | None) -> Job:
    """Return the job that a directory holds."""
    if directory is None:
        return _EMPTY
    return Job(
        **{
            _FIELDS[name]: child.value
            for child in directory.nodes
            if not child.dir and (name := child.key[child.key.rfind("/") + 1 :]) in _FIELDS
        }
    )


def _jobs(directory: Node | None) -> dict[str, Job]:
    if directory is None:
        return {}
    found = {node.key[node.key.rfind("/") + 1 :]: job_of(node) for node in directory.nodes}
    return {name: job for name, job in found.items() if job != _EMPTY}


def _newest(directory: Node | None) -> int:
    nodes = () if directory is None else directory.nodes
    return max((leaf.modified_index for node in nodes for leaf in node.nodes), default=0)
