"""What is counted, as Prometheus reads it."""

from __future__ import annotations

from coreos_py.roller.metrics import Family, Metrics, Sample, render


def test_text():
    metrics = Metrics()
    metrics.count("omaha", 200)
    metrics.count("omaha", 200)
    metrics.count("api", 404)
    metrics.streamed("payload", 3_000_000_000)
    metrics.streamed("payload", 5)
    metrics.took(1_500)
    metrics.took(7_000_000)
    text = render(metrics.families())
    assert 'rollerd_requests_total{family="api",status="404"} 1\n' in text
    assert 'rollerd_requests_total{family="omaha",status="200"} 2\n' in text
    assert 'rollerd_streamed_bytes_total{family="payload"} 3000000005\n' in text
    assert 'rollerd_call_seconds_bucket{le="0.001"} 0\n' in text
    assert 'rollerd_call_seconds_bucket{le="0.002"} 1\n' in text
    assert 'rollerd_call_seconds_bucket{le="5"} 1\n' in text
    assert 'rollerd_call_seconds_bucket{le="+Inf"} 2\n' in text
    assert "rollerd_call_seconds_sum 7.0015\n" in text
    assert "rollerd_call_seconds_count 2\n" in text


def test_large_numbers_are_exact_and_labels_escaped():
    family = Family("x", "gauge", "Help.", (Sample(12_345_678, (("a", 'q"\\\n'),)),))
    assert render([family]) == ('# HELP x Help.\n# TYPE x gauge\nx{a="q\\"\\\\\\n"} 12345678\n')
