"""The v2 key space written as naively as possible: flat dict, scans, whole copies.

Only what the documentation promises, no shared code with the product, nothing fast.
"""

from __future__ import annotations

import copy
from typing import Any

YEAR_2000_NS = 946_684_800 * 10**9


class Refused(Exception):
    """code, cause, index"""


class Model:
    """Nodes are dicts with dir, value, created, modified, expire."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.index = 0
        self.nodes: dict[str, dict[str, Any]] = {p: self._dir(0) for p in ("/", "/0", "/1")}
        self.events: list[dict[str, Any]] = []
        self.watchers: list[dict[str, Any]] = []

    @staticmethod
    def _dir(index, expire=0):
        return {"dir": True, "value": "", "created": index, "modified": index, "expire": expire}

    def below(self, path):
        base = path.rstrip("/") + "/"
        return [key for key in self.nodes if key.startswith(base) and key != "/"]

    def find(self, path):
        walked = ""
        for name in path.split("/")[1:]:
            walked += "/" + name
            if walked not in self.nodes:
                raise Refused(100, walked, self.index)
            if walked != path and not self.nodes[walked]["dir"]:
                raise Refused(104, walked, self.index)
        return self.nodes[path]

    def check_root(self, path):
        if path in ("/", "/0", "/1"):
            raise Refused(107, "/", self.index)

    # operations

    def get(self, path):
        return copy.deepcopy(self.find(path))

    def set(self, path, value, is_dir, expire, refresh):
        try:
            old = self.find(path)
        except Refused as refused:
            if refused.args[0] == 104 or refresh:
                raise
            old = None
        if refresh:
            value = old["value"]
        return self._place("set", path, value, is_dir, expire, old, refresh)

    def create(self, path, value, is_dir, expire, unique):
        if unique:
            path = path.rstrip("/") + "/" + str(self.index + 1).zfill(20)
        self.check_root(path)
        try:
            self.find(path)
        except Refused as refused:
            if refused.args[0] == 104:
                raise
        else:
            raise Refused(105, path, self.index)
        return self._place("create", path, value, is_dir, expire, None, False)

    def _place(self, action, path, value, is_dir, expire, old, refresh):
        self.check_root(path)
        if old is not None and old["dir"]:
            raise Refused(102, path, self.index)
        old = copy.deepcopy(old)
        self.index += 1
        names = path.split("/")
        for end in range(2, len(names)):
            self.nodes.setdefault("/".join(names[:end]), self._dir(self.index))
        if expire < YEAR_2000_NS:
            expire = 0
        self.nodes[path] = {
            "dir": is_dir,
            "value": "" if is_dir else value,
            "created": self.index,
            "modified": self.index,
            "expire": expire,
        }
        return self._tell(action, path, copy.deepcopy(self.nodes[path]), old, refresh)

    def update(self, path, value, expire, refresh):
        node = self.find(path)
        self.check_root(path)
        if node["dir"] and value:
            raise Refused(102, path, self.index)
        return self._change("update", path, node, value, expire, refresh)

    def compare_and_swap(self, path, prev_value, prev_index, value, expire, refresh):
        self.check_root(path)
        node = self._compared(path, prev_value, prev_index)
        return self._change("compareAndSwap", path, node, value, expire, refresh)

    def _compared(self, path, prev_value, prev_index):
        node = self.find(path)
        if node["dir"]:
            raise Refused(102, path, self.index)
        cause = []
        if prev_value not in ("", node["value"]):
            cause.append(f"[{prev_value} != {node['value']}]")
        if prev_index not in (0, node["modified"]):
            cause.append(f"[{prev_index} != {node['modified']}]")
        if cause:
            raise Refused(101, " ".join(cause), self.index)
        return node

    def _change(self, action, path, node, value, expire, refresh):
        old = copy.deepcopy(node)
        self.index += 1
        node["expire"] = expire
        if not node["dir"]:
            node["modified"] = self.index
            node["value"] = node["value"] if refresh else value
        shown = copy.deepcopy(node)
        shown["modified"] = self.index
        return self._tell(action, path, shown, old, refresh)

    def delete(self, path, is_dir, recursive):
        node = self.find(path)
        self.check_root(path)
        if node["dir"] and not (is_dir or recursive):
            raise Refused(102, path, self.index)
        if node["dir"] and self.below(path) and not recursive:
            raise Refused(108, path, self.index)
        return self._remove("delete", path, node["dir"])

    def compare_and_delete(self, path, prev_value, prev_index):
        self._compared(path, prev_value, prev_index)
        return self._remove("compareAndDelete", path, False)

    def expire(self, cutoff):
        told: list[dict[str, Any]] = []
        while True:
            due = [
                (node["expire"], key)
                for key, node in self.nodes.items()
                if node["expire"] and node["expire"] <= cutoff
            ]
            if not due:
                return told
            told.append(self._remove("expire", min(due)[1], False))

    def _remove(self, action, path, shows_dir):
        old = self.nodes[path]
        gone = [path, *self.below(path)]
        for key in gone:
            del self.nodes[key]
        self.index += 1
        shown = {**old, "dir": shows_dir, "value": None, "modified": self.index, "expire": 0}
        return self._tell(action, path, shown, old, False, gone)

    # watching

    def _tell(self, action, key, node, prev, refresh, gone=()):
        event = {
            "action": action,
            "key": key,
            "index": self.index,
            "node": node,
            "prev": prev,
            "refresh": refresh,
        }
        self.events.append(event)
        for watcher in list(self.watchers):
            times = (watcher["path"] in gone) + self._wants(watcher, key)
            if refresh or self.index < watcher["since"] or not times:
                continue
            if watcher["stream"]:
                watcher["heard"] += [self.index] * times
            else:
                watcher["heard"].append(self.index)
                self.watchers = [each for each in self.watchers if each is not watcher]
        return event

    @staticmethod
    def _wants(watcher, key):
        path = watcher["path"]
        if path == key:
            return True
        base = path.rstrip("/")
        rest = key[len(base) :]
        return watcher["recursive"] and key.startswith(base + "/") and "/_" not in rest

    def watch(self, path, recursive, stream, since):
        since = since or self.index + 1
        kept = self.events[-self.capacity :]
        watcher = {
            "path": path,
            "recursive": recursive,
            "stream": stream,
            "since": since,
            "heard": [],
        }
        if kept and since < kept[0]["index"]:
            cause = f"the requested history has been cleared [{kept[0]['index']}/{since}]"
            raise Refused(401, cause, self.index)
        for event in kept:
            key, prev = event["key"], event["prev"]
            if event["index"] < since or event["refresh"]:
                continue
            wanted = key == path or (recursive and key.startswith(path.rstrip("/") + "/"))
            if event["action"] in ("delete", "expire") and prev["dir"]:
                wanted = wanted or path.startswith(key)
            if wanted:
                watcher["heard"].append(event["index"])
                return watcher
        self.watchers.append(watcher)
        return watcher
