"""Protobuf codecs of etcdserverpb: the operations in the log, and whose log it is.

Mirrors etcdserver/etcdserverpb of etcd 2.3.8; see pb for what is common to all. Pure: no I/O.
"""

from __future__ import annotations

from typing import NamedTuple

from coreos_py.base.protobuf import (
    U64_MASK,
    int64,
    read_uvarint,
    scan,
)
from coreos_py.etcd.pb_wire import check_newer, uvarint


class Request(NamedTuple):
    """etcdserverpb.Request: one replicated operation; None means an optional bool is absent."""

    id: int = 0
    method: str = ""
    path: str = ""
    val: str = ""
    dir: bool = False
    prev_value: str = ""
    prev_index: int = 0
    prev_exist: bool | None = None
    expiration: int = 0
    wait: bool = False
    since: int = 0
    recursive: bool = False
    sorted: bool = False
    quorum: bool = False
    time: int = 0
    stream: bool = False
    refresh: bool | None = None


class Metadata(NamedTuple):
    """etcdserverpb.Metadata: who wrote a WAL."""

    node_id: int = 0
    cluster_id: int = 0


# Everything after Val of a Request that sets nothing else: most PUTs.
_REQUEST_PLAIN = (False, "", 0, None, 0, False, 0, False, False, False, 0, False, None)
_REQUEST_TAIL = bytes.fromhex("2800 3200 3800 4800 5000 5800 6000 6800 7000 7800 800100")
_FALSE_TRUE = (b"\x00", b"\x01")


def _encode_method(method: str) -> bytes:
    data = method.encode("utf-8", "surrogateescape")
    return b"\x12%b%b" % (uvarint(len(data)), data)


_METHODS = {name: _encode_method(name) for name in ("PUT", "POST", "DELETE", "QGET", "SYNC")}


def encode_request(request: Request) -> bytes:
    """etcdserverpb.Request as etcd 2.3 writes it."""
    path = request[2].encode("utf-8", "surrogateescape")
    val = request[3].encode("utf-8", "surrogateescape")
    return b"".join(
        (
            b"\x08",
            uvarint(request[0]),
            _METHODS.get(request[1]) or _encode_method(request[1]),
            b"\x1a",
            uvarint(len(path)),
            path,
            b"\x22",
            uvarint(len(val)),
            val,
            _REQUEST_TAIL if request[4:] == _REQUEST_PLAIN else _request_rest(request),
        )
    )


def _request_rest(request: Request) -> bytes:
    prev_value = request.prev_value.encode("utf-8", "surrogateescape")
    flag = _FALSE_TRUE
    return b"".join(
        (
            b"\x28\x01\x32" if request.dir else b"\x28\x00\x32",
            uvarint(len(prev_value)),
            prev_value,
            b"\x38",
            uvarint(request.prev_index),
            b"" if request.prev_exist is None else b"\x40" + flag[request.prev_exist],
            b"\x48",
            uvarint(request.expiration & U64_MASK),
            b"\x50\x01\x58" if request.wait else b"\x50\x00\x58",
            uvarint(request.since),
            b"\x60\x01" if request.recursive else b"\x60\x00",
            b"\x68\x01" if request.sorted else b"\x68\x00",
            b"\x70\x01\x78" if request.quorum else b"\x70\x00\x78",
            uvarint(request.time & U64_MASK),
            b"\x80\x01\x01" if request.stream else b"\x80\x01\x00",
            b"" if request.refresh is None else b"\x88\x01" + flag[request.refresh],
        )
    )


def encode_metadata(metadata: Metadata) -> bytes:
    """etcdserverpb.Metadata."""
    return b"\x08%b\x10%b" % (uvarint(metadata.node_id), uvarint(metadata.cluster_id))


_REQUEST_TAGS = frozenset(
    field << 3 | (2 if field in (2, 3, 4, 6) else 0) for field in range(1, 18)
)


def decode_request(data: bytes) -> Request:
    """etcdserverpb.Request."""
    if data.endswith(_REQUEST_TAIL):
        plain = _plain_request(data)
        if plain is not None:
            return plain
    numbers: list[int | None] = [0] * 18
    numbers[8] = numbers[17] = None
    blobs = [b""] * 18
    for tag, number, blob in scan(data):
        if tag in _REQUEST_TAGS:
            numbers[tag >> 3] = number
            blobs[tag >> 3] = blob
        else:
            check_newer(tag, 17, "Request")
    text = [blob.decode("utf-8", "surrogateescape") for blob in blobs]
    prev_exist, refresh = numbers[8], numbers[17]
    number_of = [number or 0 for number in numbers]
    return Request(
        number_of[1],
        text[2],
        text[3],
        text[4],
        number_of[5] != 0,
        text[6],
        number_of[7],
        None if prev_exist is None else prev_exist != 0,
        int64(number_of[9]),
        number_of[10] != 0,
        number_of[11],
        number_of[12] != 0,
        number_of[13] != 0,
        number_of[14] != 0,
        int64(number_of[15]),
        number_of[16] != 0,
        None if refresh is None else refresh != 0,
    )


def _plain_request(data: bytes) -> Request | None:
    """The request if it has exactly the form of a PUT that sets nothing but a value."""
    last = len(data) - len(_REQUEST_TAIL)
    try:
        if data[0] != 0x08:
            return None
        number, at = read_uvarint(data, 1)
        strings = []
        for tag in (0x12, 0x1A, 0x22):
            if data[at] != tag:
                return None
            size = data[at + 1]
            at += 2
            if size > 0x7F:
                size, at = read_uvarint(data, at - 1)
            strings.append(data[at : at + size].decode("utf-8", "surrogateescape"))
            at += size
    except IndexError:
        return None
    method, path, val = strings
    return Request(number, method, path, val) if at == last else None


def decode_metadata(data: bytes) -> Metadata:
    """etcdserverpb.Metadata."""
    node_id = cluster_id = 0
    for tag, number, _ in scan(data):
        if tag == 0x08:
            node_id = number
        elif tag == 0x10:
            cluster_id = number
        else:
            check_newer(tag, 2, "Metadata")
    return Metadata(node_id, cluster_id)
