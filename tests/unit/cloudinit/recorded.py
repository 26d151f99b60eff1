"""Recordings of coreos-cloudinit 1.13.0 in tests/data/cloudinit, in the shapes our code has."""

from __future__ import annotations

import json
import math
from pathlib import Path

from coreos_py.cloudinit import gotext
from coreos_py.cloudinit.yaml.decode import WeakMap

DATA = Path(__file__).resolve().parents[2] / "data" / "cloudinit"


def load(name):
    return json.loads((DATA / name).read_text())


def weak(value):
    """A weakly typed value as yaml.json has it."""
    if isinstance(value, WeakMap):
        pairs = [[weak(key), weak(item)] for key, item in value.items()]
        return {"map": sorted(pairs, key=json.dumps)}
    if isinstance(value, list):
        return [weak(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        special = math.isnan(value) or math.isinf(value)
        return {"float": gotext.float_text(value) if special else repr(value)}
    return latin(value)


def ordered(value):
    """The same value with its mappings in one order."""
    if isinstance(value, dict) and "map" in value:
        pairs = [[ordered(key), ordered(item)] for key, item in value["map"]]
        return {"map": sorted(pairs, key=json.dumps)}
    return [ordered(item) for item in value] if isinstance(value, list) else value


def latin(text):
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return data.decode("latin-1")


def config(found):
    """A CloudConfig as validate.json has it: what is not set is left out."""
    top = found._asdict()
    names = ("hostname", "manage_etc_hosts", "ssh_authorized_keys", "users", "write_files")
    whole = {name: top.pop(name) for name in names}
    return _tree({**whole, "coreos": top})


def _tree(value):
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _tree(item) for key, item in value.items() if item and _tree(item)}
    if isinstance(value, list | tuple):
        return [_tree(item) for item in value]
    return latin(value) if isinstance(value, str | bytes) else gotext.value(value)
