"""The command line: checks, their order and words, and whole runs that change nothing."""

from __future__ import annotations

import re

import pytest

from coreos_py.cloudinit import run as run_module
from coreos_py.cloudinit.cmd_coreos_cloudinit import main
from coreos_py.cloudinit.program import PROGRAM, SOURCES

CLOUDS = (
    '["azure" "cloudsigma" "digitalocean" "ec2-compat" "gce" "packet" "rackspace-onmetal" "vmware"]'
)


def run(capsys, *words):
    code = main(["coreos-cloudinit", *words])
    out, err = capsys.readouterr()
    lines = [re.sub(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", "", line) for line in err.splitlines()]
    return code, out, lines


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        (["-version"], 0, "coreos-cloudinit 1.13.0\n"),
        (["--version=true", "ignored", "-nosuch"], 0, "coreos-cloudinit 1.13.0\n"),
        (
            ["-version", "-oem", 'a"b'],
            2,
            f'Invalid option to -oem: "a\\"b". Supported options: {CLOUDS}\n',
        ),
        (
            ["-convert-netconf=x", "-from-file=/f"],
            2,
            "Invalid option to -convert-netconf: 'x'."
            " Supported options: 'debian, packet, vmware'\n",
        ),
        (
            ["-validate", "-from-file="],
            2,
            "Provide at least one of --from-file, --from-configdrive, --from-ec2-metadata,"
            " --from-gce-metadata, --from-cloudsigma-metadata, --from-packet-metadata,"
            " --from-digitalocean-metadata, --from-vmware-guestinfo, --from-waagent, --from-url"
            " or --from-proc-cmdline\n",
        ),
    ],
)
def test_checks(capsys, words, code, out):
    assert run(capsys, *words) == (code, out, [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["-from-file"], "flag needs an argument: -from-file"),
        (
            ["-validate=maybe"],
            'invalid boolean value "maybe" for -validate: parse error',
        ),
    ],
)
def test_flags_that_are_wrong(capsys, words, message):
    code, out, lines = run(capsys, *words)
    assert (code, out, lines[:2]) == (2, "", [message, "Usage of coreos-cloudinit:"])
    flags = [line.split()[0] for line in lines if line.startswith("  -")]
    assert flags == sorted(f"-{setting.name}" for setting in PROGRAM.settings)


def test_help(capsys):
    code, out, lines = run(capsys, "-h")
    assert (code, out, lines[0]) == (0, "", "Usage of coreos-cloudinit:")


def test_every_source_flag_makes_a_source(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    words = {
        item.name: f"-{item.name}" + ("" if item.kind.is_bool else "=/nowhere") for item in SOURCES
    }
    made = []

    def take(sources, _log):
        made.append([source.type for source in sources])

    monkeypatch.setattr(run_module, "select", take)
    for word in words.values():
        assert main(["coreos-cloudinit", word]) == 1
    assert main(["coreos-cloudinit", *reversed(words.values())]) == 1
    assert made[:-1] == [[name] for name in made[-1]]
    assert made[-1] == [
        *("local-file", "url", "cloud-drive", "ec2-metadata-service", "ec2-metadata-service"),
        *("gce-metadata-service", "server-context", "digitalocean-metadata-service", "waagent"),
        *("packet-metadata-service", "proc-cmdline", "vmware", "vmware"),
    ]


@pytest.mark.parametrize(
    ("cloud", "types"),
    [
        ("azure", ["waagent"]),
        ("cloudsigma", ["server-context"]),
        ("digitalocean", ["digitalocean-metadata-service"]),
        ("ec2-compat", ["cloud-drive", "ec2-metadata-service"]),
        ("gce", ["gce-metadata-service"]),
        ("packet", ["packet-metadata-service"]),
        ("rackspace-onmetal", ["cloud-drive"]),
        ("vmware", ["vmware"]),
    ],
)
def test_presets(monkeypatch, cloud, types):
    monkeypatch.setenv("PATH", "/nonexistent")
    found = []
    monkeypatch.setattr(
        run_module, "select", lambda sources, _: found.extend(item.type for item in sources)
    )
    assert main(["coreos-cloudinit", "-oem", cloud, "-convert-netconf", "nonsense"]) in (1, 2)
    assert main(["coreos-cloudinit", "-oem", cloud]) == 1
    assert found[-len(types) :] == types


BEFORE = [
    'Checking availability of "local-file"',
    'Fetching user-data from datasource of type "local-file"',
]
AFTER = ['Fetching meta-data from datasource of type "local-file"']
MERGING = ["Merging cloud-config from meta-data and user-data"]


@pytest.fixture
def user_data(tmp_path):
    def write(text):
        path = tmp_path / "user-data"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return f"-from-file={path}"

    return write


@pytest.mark.parametrize(
    ("text", "code", "entries"),
    [
        ("#cloud-config\nhostname: x\n", 0, []),
        ("#!/bin/sh\n", 0, []),
        ("", 0, []),
        ("#cloud-config\nhostnam: x\n", 1, ['line 2: warning: unrecognized key "hostnam"']),
        (
            "#cloud-config\na: [\n",
            1,
            [
                "line 2: error: did not find expected node content",
                'line 0: warning: incorrect type for "" (want struct)',
            ],
        ),
    ],
)
def test_validation(capsys, user_data, text, code, entries):
    assert run(capsys, "-validate", user_data(text)) == (code, "", [*BEFORE, *entries])


def test_a_dry_run_prints_the_plan(capsys, user_data):
    text = (
        "#cloud-config\nhostname: h\nmanage-etc-hosts: localhost\nusers: [{name: no-such-user-a}]\n"
    )
    code, out, lines = run(capsys, "--dry-run", user_data(text))
    assert (code, lines) == (0, [*BEFORE, *AFTER, "Parsing user-data as cloud-config", *MERGING])
    assert out.splitlines()[:3] == [
        "  1. set the host name to h",
        "  2. create user no-such-user-a: useradd --password * --create-home no-such-user-a",
        "  3. write file /etc/hosts (12 bytes, mode 0644): replaced",
    ]


def test_a_dry_run_of_a_script_in_a_multipart(capsys, user_data, monkeypatch):
    monkeypatch.setenv("COREOS_PRIVATE_IPV4", "10.0.0.1")
    text = (
        "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=XX\n\n"
        "--XX\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n"
        "--XX\nContent-Type: text/cloud-config\n\n#cloud-config\nhostname: at-$private_ipv4\n"
        "--XX\nContent-Type: text/cloud-config\n\n#cloud-config\nssh-authorized-keys: [k]\n"
        "--XX--\n"
    )
    code, out, _ = run(capsys, "--dry-run", user_data(text), "-workspace", "w/../ws")
    assert code == 0
    lines = [line.partition(". ")[2] for line in out.splitlines()]
    assert lines[0] == "set the host name to at-10.0.0.1"
    assert lines[1] == "authorize 1 SSH keys for user core as coreos-cloudinit"
    assert lines[-1] == "run a script of 9 bytes as a unit, kept in /ws"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("junk", "Unrecognized user-data format"),
        ("#cloud-config\na: [\n", "YAML error: line 2: did not find expected node content"),
        (
            "#cloud-config\nwrite-files: [{path: /x, encoding: b64, content: '?'}]\n",
            'Unable to decode base64: "illegal base64 data at input byte 0"',
        ),
        (b"#cloud-config\nhostname: \xff\n", "YAML error: invalid leading UTF-8 octet"),
    ],
)
def test_user_data_that_cannot_be_used(capsys, user_data, text, reason):
    words = ("--dry-run", user_data(text))
    code, out, _ = run(capsys, *words)
    assert code == 1
    assert out.startswith(f"Failed to parse user-data: {reason}\nContinuing...\n  1. unmask etcd")
    assert run(capsys, *words, "-ignore-failure")[0] == 0


def test_gzip_that_breaks_off(capsys, user_data):
    import gzip

    packed = gzip.compress(b"#cloud-config\nhostname: whole\n")
    code, out, lines = run(capsys, "--dry-run", user_data(packed[:-4]))
    assert code == 1
    assert "Failed decompressing user-data from datasource: unexpected EOF. Continuing..." in lines
    assert "set the host name to whole" in out
    code, out, lines = run(capsys, "--dry-run", user_data(b"\x1f\x8bxx"))
    assert (code, "host name" in out) == (1, False)
    assert run(capsys, "--dry-run", user_data(packed))[0] == 0


@pytest.mark.parametrize("packed", [False, True])
def test_a_byte_order_mark_is_no_harm(capsys, tmp_path, packed):
    """Ours; 1.13.0 takes such data for nothing it knows."""
    import gzip

    texts = {
        "#cloud-config\nhostname: marked\nspeed: 1\n": "set the host name to marked\n",
        "#!/bin/sh\n": "run a script of 10 bytes as a unit, kept in /var/lib",
        '{"ignition": {"version": "2.0.0"}}': "Detected an Ignition config. Exiting...",
        "Content-Type: multipart/mixed; boundary=X\n\n--X\n\n#!/a\n--X--\n": "script of 4 bytes",
    }
    for text, done in texts.items():
        data = ("\ufeff" + text).encode()
        (tmp_path / "data").write_bytes(gzip.compress(data) if packed else data)
        code, out, lines = run(capsys, "--dry-run", f"-from-file={tmp_path}/data")
        assert code == 0
        assert done in out
        wrong = 'line 3: warning: unrecognized key "speed"'
        assert [line for line in lines if line.startswith("line ")] == [wrong] * ("speed" in text)


def test_ignition_is_left_alone(capsys, user_data):
    code, out, _ = run(capsys, user_data('{"ignition": {"version": "2.0.0"}}'))
    assert (code, out) == (0, "Detected an Ignition config. Exiting...")


def drive(tmp_path, meta, network=None):
    latest = tmp_path / "openstack/latest"
    latest.mkdir(parents=True)
    (latest / "meta_data.json").write_text(meta)
    (latest / "user_data").write_text("#cloud-config\nhostname: mine\nssh-authorized-keys: [k1]\n")
    if network is not None:
        (tmp_path / "openstack/net").write_text(network)
    return f"-from-configdrive={tmp_path}"


def test_metadata_is_merged(capsys, tmp_path):
    words = drive(tmp_path, '{"hostname": "theirs", "public_keys": {"a": "k2"}}')
    code, out, lines = run(capsys, "--dry-run", words)
    assert code == 0
    assert "Warning: user-data hostname (mine) overrides metadata hostname (theirs)" in lines
    assert "set the host name to mine\n" in out
    assert "authorize 2 SSH keys for user core" in out


@pytest.mark.parametrize(
    ("network", "code", "message"),
    [
        (None, 2, "the source has no debian network config"),
        ("mapping eth0\n", 1, 'unknown stanza "mapping"'),
        ("iface eth0 inet dhcp\n", 0, ""),
    ],
)
def test_network_configurations(capsys, tmp_path, network, code, message):
    meta = '{"network_config": {"content_path": "/net"}}' if network else "{}"
    words = (drive(tmp_path, meta, network), "--dry-run", "-convert-netconf=debian")
    found, out, lines = run(capsys, *words)
    assert found == code
    if message:
        assert lines[-1] == f"Failed to generate interfaces: {message}"
    else:
        assert "write unit 00-eth0.network to /run/systemd/network/00-eth0.network" in out


def test_metadata_that_makes_no_sense(capsys, tmp_path):
    code, out, lines = run(capsys, drive(tmp_path, "{"))
    assert (code, out) == (1, "")
    assert lines[-1] == (
        "Failed fetching meta-data from datasource: unexpected end of JSON input (line 1, column 2)"
    )


def test_a_directory_is_no_user_data(capsys, tmp_path):
    code, _, lines = run(capsys, "--dry-run", f"-from-file={tmp_path}")
    assert code == 1
    text = f"Failed fetching user-data from datasource: read {tmp_path}: is a directory"
    assert any(line.startswith(text) or "is a directory. Continuing..." in line for line in lines)


def test_no_source_in_time(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(run_module.select, "__kwdefaults__", {"timeout_s": 0.01})
    code, out, lines = run(capsys, f"-from-file={tmp_path}/none")
    assert (code, out, lines[-1]) == (1, "", "No datasources available in time")
