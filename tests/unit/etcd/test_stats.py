"""Statistics as JSON, with the fields and omissions of etcd 2.3.8."""

from __future__ import annotations

import json

from coreos_py.etcd.stats import LEADER, LeaderStats, RateWindow, ServerStats

S = 1_000_000_000
START = 1_700_000_000 * S


def test_self_of_an_idle_leader():
    stats = ServerStats("n", 0xAB, now_ns=START)
    stats.role_changed(LEADER, now_ns=START + S)
    assert stats.to_json(now_ns=START + 61 * S + 5) == (
        '{"name":"n","id":"ab","state":"StateLeader","startTime":"2023-11-14T22:13:20Z",'
        '"leaderInfo":{"leader":"ab","uptime":"1m0.000000005s",'
        '"startTime":"2023-11-14T22:13:21Z"},"recvAppendRequestCnt":0,"sendAppendRequestCnt":0}'
    )


def test_self_of_a_follower():
    stats = ServerStats("n", 0xAB, now_ns=START)
    for number in range(11):
        stats.received(0xCD, 100, now_ns=START + number * S // 10)
    body = json.loads(stats.to_json(now_ns=START + S))
    assert body["state"] == "StateFollower"
    assert body["leaderInfo"]["leader"] == "cd"
    assert body["recvAppendRequestCnt"] == 11
    assert (body["recvPkgRate"], body["recvBandwidthRate"]) == (11, 1100)
    assert "sendPkgRate" not in body


def test_rates_forget_after_an_idle_second():
    window = RateWindow()
    for number in range(300):
        window.add(START + number * S // 100, 10)
    packages, size = window.rates(START + 3 * S)
    assert round(packages) == 101  # the last 200 samples over 1.99 s
    assert round(size) == 1005
    assert window.rates(START + 10 * S) == (0, 0)


def test_followers():
    stats = LeaderStats(0xAB)
    follower = stats.follower(0xCD)
    for took_ms in (1, 2, 3):
        follower.succeeded(took_ms * 1_000_000)
    follower.failed()
    stats.follower(0xEF)
    body = json.loads(stats.to_json())
    assert body["leader"] == "ab"
    assert list(body["followers"]) == ["cd", "ef"]
    assert body["followers"]["cd"]["counts"] == {"fail": 1, "success": 3}
    latency = body["followers"]["cd"]["latency"]
    assert (latency["current"], latency["minimum"], latency["maximum"]) == (3, 1, 3)
    assert latency["average"] == 2
    assert round(latency["standardDeviation"], 3) == 0.816
    assert (
        body["followers"]["ef"]["latency"]["minimum"] == 9223372036854776000
    )  # Go's shortest digits of 2^63
    stats.forget(0xCD)
    assert list(json.loads(stats.to_json())["followers"]) == ["ef"]
