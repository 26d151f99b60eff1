"""Counters and histograms as Prometheus text."""

from __future__ import annotations

import gzip
import time

import pytest

from coreos_py.etcd import metrics
from coreos_py.etcd.metrics import Histogram, Requests, SentMessages
from coreos_py.http.message import Request
from coreos_py.raft.types import MsgType


def test_histogram():
    histogram = Histogram(first_s=0.001, buckets=3)
    for took_s in (0.0005, 0.001, 0.0015, 0.003, 9):
        histogram.observe(took_s)
    assert list(histogram.lines("x", "Text.")) == [
        "# HELP x Text.",
        "# TYPE x histogram",
        'x_bucket{le="0.001"} 2',
        'x_bucket{le="0.002"} 3',
        'x_bucket{le="0.004"} 4',
        'x_bucket{le="+Inf"} 5',
        "x_sum 9.006",
        "x_count 5",
    ]


def test_requests():
    requests = Requests()
    requests.received["PUT"] += 2
    requests.fail("PUT", 412)
    requests.fail("PUT", 412)
    requests.fail("GET", 404)
    lines = list(requests.lines())
    assert 'etcd_http_received_total{method="PUT"} 2' in lines
    failed = [line for line in lines if line.startswith("etcd_http_failed_total")]
    assert failed == [
        'etcd_http_failed_total{code="404",method="GET"} 1',
        'etcd_http_failed_total{code="412",method="PUT"} 2',
    ]


def test_durations_of_requests():
    requests = Requests()
    requests.succeeded["QGET"](0.0007)
    lines = list(requests.lines())
    name = "etcd_http_successful_duration_second"
    assert f'{name}_bucket{{method="QGET",le="0.0005"}} 0' in lines
    assert f'{name}_bucket{{method="QGET",le="0.001"}} 1' in lines
    assert f'{name}_count{{method="QGET"}} 1' in lines
    assert not any(line.startswith(f'{name}_bucket{{method="GET"') for line in lines)


def test_messages_between_members():
    sent = SentMessages()
    sent.sent("msgappv2", 0xAB, kind=MsgType.APP, took_s=0.001)
    sent.failed("pipeline", 0xAB, kind=MsgType.HEARTBEAT_RESP)
    lines = list(sent.lines())
    name = "etcd_rafthttp_message_sent"
    label = 'msgType="MsgApp",remoteID="ab",sendingType="msgappv2"'
    assert f"{name}_latency_seconds_count{{{label}}} 1" in lines
    label = 'msgType="MsgHeartbeatResp",remoteID="ab",sendingType="pipeline"'
    assert f"{name}_failed_total{{{label}}} 1" in lines


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [(b"", False), (b"gzip", True), (b"deflate, gzip;q=0.5", True), (b"xgzip", False)],
)
def test_reply_is_compressed_for_those_who_can_read_it(accepted, packed):
    reply = metrics.reply(Request("GET", b"/metrics", {b"accept-encoding": accepted}, 1), b"a 1\n")
    assert (b"Content-Encoding: gzip\r\n" in bytes(reply.headers)) is packed
    assert (gzip.decompress(reply.body) if packed else reply.body) == b"a 1\n"


def test_process():
    lines = dict(line.split(" ", 1) for line in metrics.process_lines() if line[0] != "#")
    assert 0 <= time.time() - float(lines["process_start_time_seconds"]) < 7 * 86400
    assert int(lines["process_virtual_memory_bytes"]) > int(lines["process_resident_memory_bytes"])
