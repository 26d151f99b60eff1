"""Protobuf codecs of etcd 2.3 under one name: raft messages, requests, WAL records, snapshot files.

Mirrors raft/raftpb, etcdserver/etcdserverpb, wal/walpb and snap/snappb of etcd 2.3.8. Emission is
byte for byte what its generated Go code writes: fields ascending, every scalar present even when 0,
optional bools only when set, optional bytes only when there are any. Decoding accepts any order,
omitted fields and unknown fields; whatever is malformed raises WireError and nothing else.
Strings are UTF-8 with surrogateescape, so any bytes survive. Pure: no I/O.
"""

from __future__ import annotations

from coreos_py.etcd.pb_files import (
    Marker,
    Record,
    SnapFile,
    decode_marker,
    decode_record,
    decode_snap_file,
    encode_marker,
    encode_record,
    encode_snap_file,
)
from coreos_py.etcd.pb_raft import (
    decode_conf_change,
    decode_conf_state,
    decode_entry,
    decode_hard_state,
    decode_message,
    decode_snapshot,
    decode_snapshot_meta,
    encode_conf_change,
    encode_conf_state,
    encode_entry,
    encode_hard_state,
    encode_message,
    encode_snapshot,
    encode_snapshot_meta,
    message_parts,
)
from coreos_py.etcd.pb_request import (
    Metadata,
    Request,
    decode_metadata,
    decode_request,
    encode_metadata,
    encode_request,
)

__all__ = [
    "Marker",
    "Metadata",
    "Record",
    "Request",
    "SnapFile",
    "decode_conf_change",
    "decode_conf_state",
    "decode_entry",
    "decode_hard_state",
    "decode_marker",
    "decode_message",
    "decode_metadata",
    "decode_record",
    "decode_request",
    "decode_snap_file",
    "decode_snapshot",
    "decode_snapshot_meta",
    "encode_conf_change",
    "encode_conf_state",
    "encode_entry",
    "encode_hard_state",
    "encode_marker",
    "encode_message",
    "encode_metadata",
    "encode_record",
    "encode_request",
    "encode_snap_file",
    "encode_snapshot",
    "encode_snapshot_meta",
    "message_parts",
]
