"""The files made of sections: programs read them, so every byte counts."""

from __future__ import annotations

import pytest

from coreos_py.cloudinit import config, render, schema


def section(name, text):
    """A section of `coreos`, from its lines."""
    body = "".join(f"    {line}\n" for line in text.splitlines())
    found = config.from_texts([f"#cloud-config\ncoreos:\n  {name}:\n{body}".encode()])
    return getattr(found, name)


@pytest.mark.parametrize(
    ("name", "fields", "text", "out"),
    [
        ("etcd2", schema.ETCD2, "", ""),
        ("etcd2", schema.ETCD2, "debug: false\nmax-wals: 0\nname: ''", ""),
        (
            "etcd2",
            schema.ETCD2,
            "wal-dir: /w\nname: a b\nadvertise-client-urls: http://h:2379\nsnapshot-count: 0x10",
            "[Service]\n"
            'Environment="ETCD_ADVERTISE_CLIENT_URLS=http://h:2379"\n'
            'Environment="ETCD_NAME=a b"\n'
            'Environment="ETCD_SNAPSHOT_COUNT=16"\n'
            'Environment="ETCD_WAL_DIR=/w"\n',
        ),
        (
            "etcd",
            schema.ETCD,
            "snapshot: on\nsnapshot_count: 5\ncluster-remove-delay: 1800000",
            "[Service]\n"
            'Environment="ETCD_CLUSTER_REMOVE_DELAY=1.8e+06"\n'
            'Environment="ETCD_SNAPSHOT=true"\n'
            'Environment="ETCD_SNAPSHOTCOUNT=5"\n',
        ),
        (
            "fleet",
            schema.FLEET,
            'metadata: region=x,"q"\nverify-units: no\netcd-request-timeout: 1',
            "[Service]\n"
            'Environment="FLEET_ETCD_REQUEST_TIMEOUT=1"\n'
            'Environment="FLEET_METADATA=region=x,"q""\n',
        ),
        (
            "locksmith",
            schema.LOCKSMITH,
            "window-start: Thu 04:00\nwindow-length: 1h\nendpoint: http://e",
            "[Service]\n"
            'Environment="LOCKSMITHD_ENDPOINT=http://e"\n'
            'Environment="REBOOT_WINDOW_START=Thu 04:00"\n'
            'Environment="REBOOT_WINDOW_LENGTH=1h"\n',
        ),
    ],
)
def test_service_drop_ins(name, fields, text, out):
    assert render.service_drop_in(fields, section(name, text)) == out


# Variables that are not called like their keys.
ODD = {
    ("ETCD", "snapshot_count"): "ETCD_SNAPSHOTCOUNT",
    ("FLANNEL", "interface"): "FLANNELD_IFACE",
    ("LOCKSMITH", "window_start"): "REBOOT_WINDOW_START",
    ("LOCKSMITH", "window_length"): "REBOOT_WINDOW_LENGTH",
}


@pytest.mark.parametrize(
    ("name", "prefix", "count"),
    [
        ("ETCD", "ETCD_", 49),
        ("ETCD2", "ETCD_", 41),
        ("FLEET", "FLEET_", 17),
        ("LOCKSMITH", "LOCKSMITHD_", 9),
        ("FLANNEL", "FLANNELD_", 11),
        ("UPDATE", "", 3),
    ],
)
def test_every_key_has_its_variable(name, prefix, count):
    fields = getattr(schema, name)
    assert len(fields) == count
    for field in fields:
        assert field.env == ODD.get((name, field.name), prefix + field.name.upper())


def test_flannel_options_end_without_a_line_break():
    text = "interface: $public_ipv4\nip-masq: true\netcd-prefix: /p"
    expected = "FLANNELD_ETCD_PREFIX=/p\nFLANNELD_IP_MASQ=true\nFLANNELD_IFACE=$public_ipv4"
    assert render.flannel_options(section("flannel", text)) == expected
    assert render.flannel_options(section("flannel", "")) == ""


@pytest.mark.parametrize(
    ("base", "out"),
    [
        (b"", b"GROUP=beta\nREBOOT_STRATEGY=off\nSERVER=http://u\n"),
        (
            b"# mine\r\nSERVERS=1\nGROUP_OLD=x\nGROUP=alpha\n",
            b"# mine\nSERVER=http://u\nGROUP=beta\nGROUP=alpha\nREBOOT_STRATEGY=off\n",
        ),
        (
            b"REBOOT_STRATEGY=reboot\nX=1",
            b"REBOOT_STRATEGY=off\nX=1\nGROUP=beta\nSERVER=http://u\n",
        ),
    ],
)
def test_update_conf(base, out):
    wanted = section("update", "group: beta\nserver: http://u\nreboot-strategy: off")
    assert render.update_conf(base, wanted) == out


def test_update_conf_again_is_the_same():
    wanted = section("update", "group: beta\nreboot-strategy: etcd-lock")
    once = render.update_conf(b"A=1\nGROUP=x\n", wanted)
    assert render.update_conf(once, wanted) == once


@pytest.mark.parametrize("strategy", ["always", "false", "offline"])
def test_a_strategy_that_is_none(strategy):
    with pytest.raises(render.RenderError) as caught:
        render.check_update(section("update", f"reboot-strategy: {strategy}"))
    assert str(caught.value) == (
        f'invalid value "{strategy}" for option "RebootStrategy"'
        ' (valid options: "^(best-effort|etcd-lock|reboot|off)$")'
    )


def test_oem_release():
    text = 'id: vm\nname: "Q \\"u\\" \\n\\ttab \\x01 é"\nversion-id: 1.10\nhome-url: http://h'
    assert render.oem_release(section("oem", text)) == (
        "ID=vm\nVERSION_ID=1.10\n"
        'NAME="Q \\"u\\" \\n\\ttab \\x01 é"\nHOME_URL="http://h"\nBUG_REPORT_URL=""\n'
    )
    assert render.oem_release(section("oem", "name: without an id")) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b"COREOS_PRIVATE_IPV4=10.0.0.1\nCOREOS_PUBLIC_IPV4=1.2.3.4\n"),
        (
            b"PATH=/x\r\nCOREOS_PUBLIC_IPV4=old\nCOREOS_PUBLIC_IPV4=older",
            b"PATH=/x\nCOREOS_PUBLIC_IPV4=1.2.3.4\nCOREOS_PUBLIC_IPV4=older\n"
            b"COREOS_PRIVATE_IPV4=10.0.0.1\n",
        ),
        (
            b" COREOS_PUBLIC_IPV4=indented\n\n#c\n",
            b" COREOS_PUBLIC_IPV4=indented\n\n#c\n"
            b"COREOS_PRIVATE_IPV4=10.0.0.1\nCOREOS_PUBLIC_IPV4=1.2.3.4\n",
        ),
    ],
)
def test_environment(old, new):
    values = {"COREOS_PUBLIC_IPV4": "1.2.3.4", "COREOS_PRIVATE_IPV4": "10.0.0.1"}
    assert render.environment(old, values) == new
    assert render.environment(new, values) == new


@pytest.mark.parametrize("manage", ["true", "template", "LOCALHOST"])
def test_hosts(manage):
    assert render.hosts("core-01") == "127.0.0.1 core-01\n"
    with pytest.raises(render.RenderError, match="Invalid option to manage_etc_hosts"):
        render.check_hosts(manage)
