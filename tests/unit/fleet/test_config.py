"""fleetd's settings: the INI dialect, precedence, values that make no sense, addresses."""

from __future__ import annotations

import socket

import pytest

from coreos_py.base.errors import ConfigError
from coreos_py.fleet import config, netinfo
from coreos_py.fleet.sockets import Opened, open_all, reachable_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("A = 1 ", {"a": "1"}),
        ("# a=1\n; b=2\n\n  c=3", {"c": "3"}),
        ('a="x y # z"', {"a": "x y # z"}),
        ("a='x y'", {"a": "x y"}),
        ('a="b" # c', {"a": '"b"'}),
        ("a=b # c", {"a": "b"}),
        ("a=b;c", {"a": "b"}),
        ("a=", {"a": ""}),
        ("a= # nothing", {"a": ""}),
        ('a=""', {"a": ""}),
        ("a=b\\\n   c", {"a": "bc"}),
        ("a=b\\", {"a": "b"}),
        ("a=1\na=2", {"a": "2"}),
        ("a=1\n[section]\na=2\nb=3", {"a": "1"}),
        ("a=x=y", {"a": "x=y"}),
        ('m=["http://a", "http://b"]', {"m": '["http://a", "http://b"]'}),
    ],
)
def test_ini(text, expected):
    assert config.parse_ini(text) == expected


@pytest.mark.parametrize(
    ("text", "line"), [("nonsense", 1), ("a=1\n\nb c", 3), ("=1", 1), ("a b=1", 1), ("[x", 1)]
)
def test_ini_errors(text, line):
    with pytest.raises(ConfigError, match=rf"iniparser: syntax error at ':{line}'\."):
        config.parse_ini(text)


@pytest.fixture
def load(tmp_path):
    (tmp_path / "machine-id").write_text("abc\n")

    def with_settings(text="", **env):
        path = tmp_path / "fleet.conf"
        path.write_text(text)
        environ = {f"FLEET_{name.upper()}": value for name, value in env.items()}
        environ.setdefault("FLEET_MACHINE_ID_FILE", str(tmp_path / "machine-id"))
        return config.load(str(path), environ)

    return with_settings


def test_precedence(load):
    assert load().agent_ttl_s == 30
    assert load("agent_ttl=5s").agent_ttl_s == 5
    assert load("agent_ttl=5s", agent_ttl="1m").agent_ttl_s == 60


def test_everything_has_a_default(load):
    found = load()
    assert found.etcd_servers == ("http://127.0.0.1:2379", "http://127.0.0.1:4001")
    assert (found.machine_id, found.token_limit, found.engine_interval_s) == ("abc", 100, 2)
    assert found.etcd_key_prefix == "/_coreos.com/fleet/"
    assert found.units_directory == "/run/fleet/units/"


def test_lists_and_pairs(load):
    text = 'etcd_servers=["http://a:1", "http://b:2"]\nmetadata="a=1, b = 2,c,a=3,d=x=y,e="'
    found = load(text, api_listen=" unix:///x , http://127.0.0.1:1 ,")
    assert found.etcd_servers == ("http://a:1", "http://b:2")
    assert found.metadata == {"a": "3", "b": "2", "d": "x=y", "e": ""}
    assert found.api_listen == ("unix:///x", "http://127.0.0.1:1")


def test_words_of_metadata_without_a_value_are_named(load, caplog):
    assert load("metadata=a=1,, ssd ,b=").metadata == {"a": "1", "b": ""}
    assert [record.getMessage() for record in caplog.records] == [
        'Ignoring "ssd" in metadata: no "=" in it'
    ]


def test_values_that_do_not_parse_are_passed_over(load, caplog):
    found = load("token_limit=many\ndisable_engine=perhaps", verbosity="very")
    assert (found.token_limit, found.disable_engine, found.verbosity) == (100, False, 0)
    assert 'Ignoring value "many" for token_limit from file' in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("agent_ttl", "30", "agent_ttl: time: missing unit"),
        ("agent_ttl", "10ms", "agent_ttl: 10ms is less than a second"),
        ("etcd_request_timeout", "0", "is not a positive number of seconds"),
        ("engine_reconcile_interval", "-1", "is not a positive number of seconds"),
        ("etcd_request_timeout", "nan", "is not a positive number of seconds"),
        ("token_limit", "0", "is not between 1 and 65535"),
        ("token_limit", "65536", "is not between 1 and 65535"),
        ("unit_manager", "runit", "is neither systemd nor embedded"),
        ("etcd_api", "auto", "etcd_api: 'auto' is neither v2 nor v3"),
        ("machine_id_file", "/nonexistent", "unable to determine local machine ID"),
        ("machine_id_file", "/dev/null", "unable to determine local machine ID"),
    ],
)
def test_values_that_cannot_work(load, name, value, problem):
    with pytest.raises(ConfigError, match=problem):
        load(**{name: value})


def test_a_file_that_was_named_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file or directory"):
        config.read_file(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="is a directory"):
        config.read_file(str(tmp_path))


# -- addresses

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth2\t00000000\t0102000A\t0003\t0\t0\t9\t00000000\t0\t0\t0
"""


def test_the_first_default_route_counts():
    assert netinfo.default_interface(ROUTES) == "eth1"
    assert netinfo.default_interface(ROUTES.replace("\t0003\t", "\t0002\t")) == ""
    assert netinfo.default_interface("") == ""
    assert netinfo.default_address() == "" or netinfo.is_usable(netinfo.default_address())


@pytest.mark.parametrize(
    ("address", "usable"),
    [
        ("10.1.2.3", True),
        ("192.168.0.1", True),
        ("8.8.8.8", True),
        ("127.0.0.1", False),
        ("169.254.1.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("2001:db8::1", False),
        ("", False),
    ],
)
def test_usable_addresses(address, usable):
    assert netinfo.is_usable(address) is usable


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://127.0.0.1:1",
        "nonsense",
        "unix://",
        "unix://relative",
        "https://127.0.0.1:1",
        "http://127.0.0.1:x",
    ],
)
def test_places_nobody_can_listen_on(url):
    with pytest.raises(ConfigError, match=r"api_listen"):
        open_all([url])


@pytest.mark.parametrize(
    ("bind", "public_ip", "reachable"),
    [
        ("127.0.0.1", "10.0.0.1", ""),
        ("127.0.0.1", "127.0.0.1", "http://127.0.0.1:PORT"),
        ("0.0.0.0", "10.0.0.1", "http://10.0.0.1:PORT"),
        ("0.0.0.0", "", ""),
    ],
)
def test_only_addresses_that_mean_the_same_everywhere_are_announced(bind, public_ip, reachable):
    with socket.socket() as sock:
        sock.bind((bind, 0))
        port = str(sock.getsockname()[1])
        reachable = reachable.replace("PORT", port)
        assert reachable_url(Opened([sock], []), public_ip) == reachable
        secure = reachable.replace("http:", "https:")
        assert reachable_url(Opened([], [sock]), public_ip) == secure


def test_unix_sockets_are_not_announced(tmp_path):
    path = tmp_path / "run" / "fleet.sock"
    opened = open_all([f"unix://{path}"], has_certificate=True)
    (sock,) = opened.plain
    with sock:
        assert path.is_socket()
        assert reachable_url(opened, "10.0.0.1") == ""


def test_tls_is_for_https_only():
    opened = open_all(["https://127.0.0.1:0", "http://127.0.0.1:0"], has_certificate=True)
    try:
        assert (len(opened.plain), len(opened.tls)) == (1, 1)
    finally:
        for sock in (*opened.plain, *opened.tls):
            sock.close()
