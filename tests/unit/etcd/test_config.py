"""Flags and environment of etcd, and the order and words of its refusals."""

from __future__ import annotations

import pytest

from coreos_py.base.errors import ConfigError
from coreos_py.cli.grammar import FlagError
from coreos_py.etcd import config, settings

CLIENT = ["--listen-client-urls", "http://h:1", "--advertise-client-urls", "http://h:1"]


def parse(*words, **env):
    return config.parse(words, env)


def test_defaults():
    got = parse()
    assert got.name == "default"
    assert got.data_dir == "default.etcd"
    assert got.listen_client_urls == ("http://localhost:2379", "http://localhost:4001")
    assert got.advertise_peer_urls == ("http://localhost:2380", "http://localhost:7001")
    assert got.initial_cluster == "default=http://localhost:2380,default=http://localhost:7001"
    assert (got.heartbeat_ms, got.election_ms, got.election_ticks) == (100, 1000, 10)
    assert got.request_timeout_s == 7.0
    assert got.dial_timeout_s == 1.2
    assert got.lines == (
        ("W", "etcdmain", "no data-dir provided, using default data-dir ./default.etcd"),
    )


def test_default_cluster_takes_the_name():
    assert parse("-name", "n").initial_cluster == "n=http://localhost:2380,n=http://localhost:7001"
    assert parse("-name=n", "-initial-cluster=a=http://h:1").initial_cluster == "a=http://h:1"


def test_last_flag_wins_and_flag_beats_environment():
    got = parse("--name=a", "-name", "b", ETCD_NAME="c", ETCD_DATA_DIR="d", ETCD_WAL_DIR="")
    assert (got.name, got.data_dir, got.wal_dir) == ("b", "d", "")
    assert [line for line in got.lines if line.package == "flags"] == [
        ("I", "flags", "recognized and used environment variable ETCD_DATA_DIR=d"),
        (
            "I",
            "flags",
            "recognized environment variable ETCD_NAME, but unused: "
            "shadowed by corresponding flag ",
        ),
        ("W", "flags", "unrecognized environment variable ETCD_WAL_DIR="),
    ]


def test_other_environment_is_reported():
    assert ("W", "flags", "unrecognized environment variable ETCD_X=1") in parse(ETCD_X="1").lines


def test_ignored_flags_warn():
    got = parse("-snapshot", "-vv=3")
    assert [line.text for line in got.lines if line.package == "flags"] == [
        'flag "-snapshot" is no longer supported - ignoring.',
        'flag "-vv" is no longer supported - ignoring.',
    ]


def test_zero_snapshot_count_means_the_default():
    got = parse("--snapshot-count", "0")
    assert got.snapshot_count == 10000
    assert ("I", "etcdserver", "set snapshot count to default 10000") in got.lines


INVALID = [
    (["foo"], "'foo' is not a valid flag"),
    (["--debug", "false"], "'false' is not a valid flag"),
    (
        ["-discovery=x", "-initial-cluster=a=http://h:1"],
        "multiple discovery or bootstrap flags are set. "
        'Choose one of "initial-cluster", "discovery" or "discovery-srv"',
    ),
    (
        CLIENT[:2],
        "-advertise-client-urls is required when -listen-client-urls is set explicitly",
    ),
    (
        ["--election-timeout=400"],
        "-election-timeout[400ms] should be at least as 5 times as -heartbeat-interval[100ms]",
    ),
    (
        ["--election-timeout=60000"],
        "-election-timeout[60000ms] is too long, and should be set less than 50000ms",
    ),
    (
        ["-addr=1.2.3.4:1", *CLIENT],
        "Set only one of flags -advertise-client-urls and -addr",
    ),
]


@pytest.mark.parametrize(("words", "want"), INVALID)
def test_invalid_combinations(words, want):
    with pytest.raises(config.InvalidFlags) as caught:
        parse(*words)
    # -bind-addr follows from -addr and is checked first
    assert str(caught.value).replace("listen", "advertise").replace("bind-", "") == want.replace(
        "listen", "advertise"
    )


BAD_FLAGS = [
    (["--nosuch"], "flag provided but not defined: -nosuch"),
    (
        ["--listen-client-urls", "http://foo"],
        'invalid value "http://foo" for flag -listen-client-urls: '
        'URL address does not have the form "host:port": http://foo',
    ),
    (["-peers=x"], 'invalid value "x" for flag -peers: flag "-peers" is no longer supported.'),
    (["-addr=h:1"], 'invalid value "h:1" for flag -addr: bad IP in address specification'),
    (["-proxy=maybe"], 'invalid value "maybe" for flag -proxy: invalid value'),
    (["-snapshot-count=-1"], 'invalid value "-1" for flag -snapshot-count: parse error'),
    (["-name"], "flag needs an argument: -name"),
]


@pytest.mark.parametrize(("words", "want"), BAD_FLAGS)
def test_flags_that_do_not_parse(words, want):
    with pytest.raises(FlagError) as caught:
        parse(*words)
    assert str(caught.value) == want


def test_bad_environment_names_the_variable():
    with pytest.raises(ConfigError) as caught:
        parse(ETCD_SNAPSHOT_COUNT="x")
    assert str(caught.value) == 'invalid value "x" for ETCD_SNAPSHOT_COUNT: parse error'


LATER = [
    "-experimental-v3demo",
]


@pytest.mark.parametrize("word", LATER)
def test_features_of_later_releases_are_refused(word):
    with pytest.raises(ConfigError, match="is not available in this version"):
        parse(word)


def test_profiles_are_missed_by_nobody_who_only_asked_for_them():
    got = parse("-enable-pprof")
    assert got.pprof
    (line,) = [line for line in got.lines if "pprof" in line.text]
    assert (line.level, line.package) == ("W", "etcdmain")
    assert not parse().pprof


def test_old_addresses():
    got = parse("-addr=10.0.0.1:4001", "-peer-addr=10.0.0.1:7001", "-peer-bind-addr=[::1]:7002")
    assert got.advertise_client_urls == ("http://10.0.0.1:4001",)
    assert got.listen_client_urls == ("http://[::]:4001",)
    assert got.advertise_peer_urls == ("http://10.0.0.1:7001",)
    assert got.listen_peer_urls == ("http://[::1]:7002",)


def test_ca_file_implies_client_certificates():
    tls = parse("-ca-file=ca", "-cert-file=c", "-key-file=k").client_tls
    assert tls == config.TLSFiles("c", "k", "ca", client_auth=True)
    assert not parse().peer_tls


def test_version_is_seen_before_the_environment():
    with pytest.raises(config.VersionAsked):
        parse("--version", ETCD_SNAPSHOT_COUNT="x")


def test_every_flag_has_its_environment_variable_and_help():
    for setting in settings.TABLE:
        assert setting.env == "ETCD_" + setting.name.upper().replace("-", "_")
        assert setting.help
        setting.default_value()


def test_ways_to_find_the_founders():
    found = parse("-discovery=http://d/1", "-discovery-fallback=exit", "-discovery-proxy=p:1")
    assert (found.discovery, found.discovery_fallback) == ("http://d/1", "exit")
    assert (found.discovery_proxy, found.token) == ("p:1", "http://d/1")
    found = parse("-discovery-srv=example.com", "-initial-cluster-token=t")
    assert (found.discovery_srv, found.token, found.discovery) == ("example.com", "t", "")


@pytest.mark.parametrize(("mode", "is_proxy"), [("off", False), ("on", True), ("readonly", True)])
def test_proxy_flags(mode, is_proxy):
    found = parse(
        f"-proxy={mode}",
        "-proxy-failure-wait=1",
        "-proxy-refresh-interval=2",
        "-proxy-dial-timeout=3",
        "-proxy-write-timeout=4",
        "-proxy-read-timeout=5",
    )
    assert found.is_proxy is is_proxy
    assert found.proxy == (mode, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    "words",
    [
        ["-proxy=on"],
        ["-proxy=readonly"],
        ["-discovery=http://d/1"],
        ["-discovery=http://d/1", "-discovery-fallback=proxy"],
    ],
)
def test_a_proxy_needs_no_advertised_urls(words):
    assert parse("-listen-client-urls=http://127.0.0.1:1", *words)
