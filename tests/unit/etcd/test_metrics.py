"""Counters and histograms as Prometheus text."""

from __future__ import annotations

from coreos_py.etcd.metrics import Histogram, Requests


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
        'etcd_http_failed_total{method="GET",code="404"} 1',
        'etcd_http_failed_total{method="PUT",code="412"} 2',
    ]
