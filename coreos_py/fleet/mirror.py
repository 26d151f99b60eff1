"""The jobs of the registry as last read, kept up to date by etcd's events between two readings.

What a pass that an event brought about works from: reading five hundred units again for every one
that changes is what fleet 1.0.0 is slow for. The mirror counts only while `is_live`; periodic
passes read everything anew, correct it, and so find out a stream of events that has gone silent.
Pure: the registry reads and watches.
"""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.etcdclient.model import Node, Result

# A stream that so many readings running were ahead of is not believed any more.
_DOUBTS_MAX = 3
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
        self._doubts = 0

    def read(self, directory: Node | None, *, index: int) -> Mapping[str, Job]:
        """Take a full reading made at `index` over, unless events have gone further.

        Return the newer of the two, by name.
        """
        found = _jobs(directory)
        if self.is_live and index < self.index:
            return dict(self.jobs)
        is_behind = self.is_live and found != self.jobs
        self._doubts = self._doubts + 1 if is_behind else 0
        self.jobs, self.index, self._read_index = found, index, index
        if self._doubts >= _DOUBTS_MAX:
            self.stop()
        return dict(found)

    def start(self, *, index: int) -> bool:
        """Begin to believe: a stream began at `index`. False when the last reading is older."""
        self.is_live = self.index >= index
        self._doubts = 0
        return self.is_live

    def stop(self) -> None:
        """There are no events any more; the next reading may be of a member that lags behind."""
        self.is_live = False
        self.index = 0

    def apply(self, event: Result) -> None:
        """Take one event over; one from before the last reading changes nothing."""
        node = event.node
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
