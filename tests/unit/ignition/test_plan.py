"""What the files and the disks stage would do."""

from __future__ import annotations

import json

import pytest

from coreos_py.base.errors import CoreosError
from coreos_py.ignition import acquire, diskplan, plan, resolve
from coreos_py.ignition.diskplan import Found, Partition, Resolved
from coreos_py.ignition.plan import (
    Disable,
    Facts,
    Keys,
    Mask,
    Owner,
    OwnHome,
    Preset,
    PutDirectory,
    PutFile,
    Run,
    Unmask,
)


def actions(document, *, users=(), groups=(), made=()):
    whole = resolve.resolve(json.dumps(document).encode(), lambda _config: lambda _source: b"")
    facts = Facts(frozenset(users), frozenset(groups), made)
    return plan.plan(whole.config, facts, major=whole.major)


def v2(version="2.4.0", **more):
    return {"ignition": {"version": version}, **more}


def v3(version="3.3.0", **more):
    return {"ignition": {"version": version}, **more}


def commands(document, **facts):
    return [" ".join(a.argv) for a in actions(document, **facts) if isinstance(a, Run)]


USERS = [
    # config, who is there, the tools' arguments
    (
        v3(passwd={"users": [{"name": "a"}]}),
        (),
        "useradd --root {root} --create-home --password * a",
    ),
    (v3(passwd={"users": [{"name": "a"}]}), ("a",), None),
    (
        v3(passwd={"users": [{"name": "a", "passwordHash": "$6$"}]}),
        ("a",),
        "usermod --root {root} --password $6$ a",
    ),
    (
        v3(passwd={"users": [{"name": "a", "homeDir": "/h", "uid": 0}]}),
        ("a",),
        "usermod --root {root} --uid 0 --home /h --move-home a",
    ),
    (
        v3(passwd={"users": [{"name": "a", "shouldExist": False}]}),
        ("a",),
        "userdel --remove --root {root} a",
    ),
    (v3(passwd={"users": [{"name": "a", "shouldExist": False}]}), (), None),
    (
        v2(passwd={"users": [{"name": "a", "create": {"uid": 5, "groups": ["x", "y"]}}]}),
        (),
        "useradd --root {root} --uid 5 --groups x,y --create-home --password * a",
    ),
    (
        v2(
            passwd={
                "users": [
                    {
                        "name": "a",
                        "system": True,
                        "noCreateHome": True,
                        "shell": "/s",
                        "gecos": "A b",
                    }
                ]
            }
        ),
        (),
        "useradd --root {root} --comment A b --shell /s --no-create-home --system --password * a",
    ),
]


@pytest.mark.parametrize(("document", "users", "expected"), USERS)
def test_users(document, users, expected):
    assert commands(document, users=users) == ([expected] if expected else [])


def test_groups_come_first():
    document = v3(passwd={"users": [{"name": "a"}], "groups": [{"name": "g", "gid": 7}]})
    assert [line.split()[0] for line in commands(document)] == ["groupadd", "useradd"]
    assert commands(document, users=["a"], groups=["g"]) == ["groupmod --root {root} --gid 7 g"]


def test_keys():
    users = [{"name": "a", "sshAuthorizedKeys": ["k1", "k2"]}]
    new = [a for a in actions(v3(passwd={"users": users})) if isinstance(a, Keys)]
    old = [a for a in actions(v2(passwd={"users": users})) if isinstance(a, Keys)]
    assert new == [Keys("a", ("k1", "k2"), "authorized_keys.d/ignition", False)]
    assert old == [Keys("a", ("k1", "k2"), "authorized_keys.d/coreos-ignition", True)]


def test_order_in_version_3():
    document = v3(
        storage={
            "files": [{"path": "/a/b/c"}, {"path": "/z"}],
            "directories": [{"path": "/a/b"}],
            "links": [
                {"path": "/h", "target": "/z", "hard": True},
                {"path": "/x/y", "target": "/z"},
            ],
        }
    )
    assert [a.path for a in actions(document)] == ["/z", "/a/b", "/a/b/c", "/x/y", "/h"]


def test_defaults():
    (new,) = actions(v3(storage={"files": [{"path": "/a"}]}))
    assert isinstance(new, PutFile)
    assert (new.mode, new.overwrite, new.source) == (None, False, None)
    old_file = {"filesystem": "root", "path": "/a"}
    (old,) = actions(v2(storage={"files": [old_file]}))
    assert isinstance(old, PutFile)
    assert (old.mode, old.overwrite) == (0, True)
    assert old.source is not None
    (directory,) = actions(v3(storage={"directories": [{"path": "/a"}]}))
    assert isinstance(directory, PutDirectory)
    assert (directory.mode, directory.user) == (None, Owner())
    (directory,) = actions(v2(storage={"directories": [{"filesystem": "root", "path": "/a"}]}))
    assert isinstance(directory, PutDirectory)
    assert (directory.mode, directory.user) == (0, Owner(0))


def test_places_of_version_2():
    document = v2(
        storage={
            "filesystems": [
                {"name": "sub", "path": "/sysroot/usr/share"},
                {"name": "disk", "mount": {"device": "/dev/x", "format": "ext4"}},
            ],
            "files": [
                {"filesystem": "sub", "path": "/../a"},
                {"filesystem": "disk", "path": "/b"},
            ],
        }
    )
    assert [(a.path, a.device) for a in actions(document)] == [("/usr/a", ""), ("/b", "/dev/x")]
    document["storage"]["files"][0]["filesystem"] = "nowhere"
    with pytest.raises(CoreosError, match=r'the filesystem \("nowhere"\), was not defined'):
        actions(document)


@pytest.mark.parametrize(
    ("document", "written"),
    [
        (v3, {"/etc/systemd/system/a.service.d/b.conf": ""}),
        (v2, {}),
    ],
)
def test_empty_texts_for_systemd(document, written):
    dropins = [{"name": "b.conf", "contents": ""}, {"name": "c.conf"}]
    units = [{"name": "a.service", "contents": "", "dropins": dropins}]
    assert dict(actions(document(systemd={"units": units}))) == written


def test_homes_where_something_is_mounted():
    users = [{"name": "a"}, {"name": "b", "noCreateHome": True}]
    document = v3(passwd={"users": users})
    made = ("/home", "/home/a")
    found = actions(document, made=made)
    assert [action for action in found if isinstance(action, OwnHome)] == [OwnHome("a", made)]
    assert not any(isinstance(action, OwnHome) for action in actions(document))


def test_units():
    units = [
        {"name": "foo@a.service", "enabled": True},
        {"name": "foo@b.service", "enabled": True},
        {"name": "x.service", "enabled": False, "mask": False},
        {"name": "m.service", "mask": True},
    ]
    new = actions(v3(systemd={"units": units}))
    assert new == [
        Unmask("/etc/systemd/system/x.service"),
        Disable("x.service"),
        Mask("/etc/systemd/system/m.service"),
        Preset(("enable foo@.service a b", "disable x.service")),
    ]
    old = actions(v2(systemd={"units": [{"name": "a.service", "enable": True}]}))
    assert old == [Preset(("enable a.service",))]


@pytest.mark.parametrize(
    "more",
    [
        {"kernelArguments": {"shouldExist": ["x"]}},
        {"storage": {"luks": [{"name": "a", "device": "/d"}]}},
    ],
)
def test_what_is_not_supported_says_so(more):
    with pytest.raises(CoreosError, match="not supported here"):
        actions(v3(**more))


# -- disks ------


def parts(*wanted, version="3.3.0"):
    document = v3(version, storage={"disks": [{"device": "/dev/a", "partitions": list(wanted)}]})
    whole = resolve.resolve(json.dumps(document).encode(), lambda _config: lambda _source: b"")
    return [diskplan.wanted(p) for p in whole.config["storage"]["disks"][0]["partitions"]]


HERE = Partition(1, 2048, 4096, "AAAA", "BBBB", "x")
TABLE = [
    # wanted, there, resolved, sgdisk's words or what is wrong
    ({"number": 1}, [], {}, "--new=1:0:0"),
    ({"number": 1, "sizeMiB": 2, "startMiB": 1, "label": "a:b"}, [], {}, None),
    ({"number": 1, "sizeMiB": 2, "startMiB": 1}, [HERE], {}, ""),
    ({"number": 1, "label": "x"}, [HERE], {}, ""),
    ({"number": 0, "label": "x", "sizeMiB": 2}, [HERE], {}, ""),
    ({"number": 1, "sizeMiB": 3}, [HERE], {}, "differs in size"),
    (
        {"number": 1, "sizeMiB": 3, "wipePartitionEntry": True},
        [HERE],
        {},
        "--delete=1 --new=1:0:+6144",
    ),
    (
        {"number": 1, "sizeMiB": 3, "resize": True},
        [HERE],
        {},
        "--delete=1 --new=1:2048:+6144 --change-name=1:x --typecode=1:AAAA --partition-guid=1:BBBB",
    ),
    ({"number": 1, "sizeMiB": 0}, [HERE], {1: Resolved(2048, 4096)}, ""),
    ({"number": 1, "sizeMiB": 0}, [HERE], {1: Resolved(2048, 9999)}, "differs in size"),
    ({"number": 1, "shouldExist": False}, [HERE], {}, "wipePartitionEntry is false"),
    ({"number": 1, "shouldExist": False, "wipePartitionEntry": True}, [HERE], {}, "--delete=1"),
    ({"number": 2, "shouldExist": False}, [HERE], {}, ""),
]


@pytest.mark.parametrize(("wanted", "there", "resolved", "expected"), TABLE)
def test_partitions(wanted, there, resolved, expected):
    if expected is None:  # such a label does not come this far
        with pytest.raises(CoreosError):
            parts(wanted)
        return
    if " is " in expected or " in " in expected:
        with pytest.raises(CoreosError, match=expected):
            diskplan.partitions("/dev/a", parts(wanted), there, resolved)
        return
    found = diskplan.partitions("/dev/a", parts(wanted), there, resolved)
    words = [" ".join(command.argv) for command in found]
    assert words == ([f"sgdisk {expected} /dev/a"] if expected else [])


def fs(**more):
    document = v3(storage={"filesystems": [{"device": "/dev/a", **more}]})
    whole = resolve.resolve(json.dumps(document).encode(), lambda _config: lambda _source: b"")
    return diskplan.wanted_filesystem(whole.config["storage"]["filesystems"][0])


FILESYSTEMS = [
    ({"format": "ext4"}, Found(), "mkfs.ext4 -F /dev/a"),
    (
        {"format": "ext4", "label": "L", "uuid": "U", "options": ["-q"]},
        Found(),
        "mkfs.ext4 -F -L L -U u -q /dev/a",
    ),
    ({"format": "xfs", "uuid": "U"}, Found(), "mkfs.xfs -f -m uuid=u /dev/a"),
    (
        {"format": "vfat", "label": "L", "uuid": "AABB-CCDD"},
        Found(),
        "mkfs.vfat -n L -i aabbccdd /dev/a",
    ),
    ({"format": "vfat", "uuid": "2E24EC82"}, Found("vfat", "", "2E24-EC82"), ""),
    ({"format": "ext4", "label": ""}, Found("ext4", "L", "U"), "there is ext4 already"),
    ({"format": "swap"}, Found(), "mkswap -f /dev/a"),
    ({"format": "ext4"}, Found("ext4", "L", "U"), ""),
    ({"format": "ext4", "label": "M"}, Found("ext4", "L", "U"), "there is ext4 already"),
    ({"format": "ext4"}, Found("xfs"), "there is xfs already"),
    (
        {"format": "ext4", "wipeFilesystem": True},
        Found("xfs"),
        "wipefs -a /dev/a; mkfs.ext4 -F /dev/a",
    ),
    ({"format": "none", "wipeFilesystem": True}, Found("xfs"), "wipefs -a /dev/a"),
    ({"format": "none"}, Found(), ""),
]


@pytest.mark.parametrize(("wanted", "there", "expected"), FILESYSTEMS)
def test_filesystems(wanted, there, expected):
    if "already" in expected:
        with pytest.raises(CoreosError, match=expected):
            diskplan.filesystem(fs(**wanted), there)
        return
    found = diskplan.filesystem(fs(**wanted), there)
    assert "; ".join(" ".join(command.argv) for command in found) == expected


def test_what_version_2_0_creates():
    document = v2(
        "2.0.0",
        storage={
            "disks": [
                {
                    "device": "/dev/a",
                    "partitions": [{"number": 1, "size": 2048, "start": 2048}, {"number": 2}],
                }
            ],
            "filesystems": [
                {"name": "x", "mount": {"device": "/dev/b", "format": "ext4", "create": {}}},
                {"name": "y", "mount": {"device": "/dev/c", "format": "ext4"}},
            ],
            "raid": [
                {"name": "r", "level": "raid1", "spares": 1, "devices": ["/d1", "/d2", "/d3"]}
            ],
        },
    )
    whole = resolve.resolve(
        json.dumps(document).encode(), lambda _config: lambda _source: b""
    ).config["storage"]
    wanted = [diskplan.wanted(part) for part in whole["disks"][0]["partitions"]]
    (made,) = diskplan.partitions("/dev/a", wanted, [], {})
    assert " ".join(made.argv) == "sgdisk --new=1:2048:+2048 --new=2:0:0 /dev/a"
    there = [Partition(1, 2048, 2048, "", "", "A"), Partition(2, 4096, 4096, "", "", "B")]
    assert diskplan.partitions("/dev/a", wanted, there, {2: Resolved(4096, 4096)}) == []
    with pytest.raises(CoreosError, match="partition 2 exists and differs in start, size"):
        diskplan.partitions("/dev/a", wanted, there, {2: Resolved(2048, 9)})
    array = diskplan.array(whole["raid"][0])
    assert " ".join(array.argv).endswith("--raid-devices 2 --spare-devices 1 /d1 /d2 /d3")
    created = diskplan.wanted_filesystem(whole["filesystems"][0])
    with pytest.raises(CoreosError, match="there is ext4 already"):
        diskplan.filesystem(created, Found("ext4"))


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("", ""),
        ("quiet coreos.config.url=http://a", "http://a"),
        ("ignition.config.url=http://a coreos.config.url=http://b x", "http://b"),
        ("xcoreos.config.url=http://a", ""),
    ],
)
def test_kernel_command_line(line, url):
    assert acquire.cmdline_url(line) == url


def test_the_systems_own_configs(tmp_path):
    directory = str(tmp_path)
    assert acquire.base("ec2", directory=directory) == []
    assert acquire.default(directory=directory) is None
    for name in ("base.d/2.ign", "base.d/1.ign", "base.platform.d/ec2/x", "base.platform.d/qemu/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "base.ign").write_text("base")
    (tmp_path / "default.ign").write_text("default")
    found = [given.data.decode() for given in acquire.base("ec2", directory=directory)]
    assert found == ["base", "base.d/1.ign", "base.d/2.ign", "base.platform.d/ec2/x"]
    assert acquire.default(directory=directory) == (b"default", f"{directory}/default.ign")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "base.d").touch()
    with pytest.raises(CoreosError, match=r"other/base\.d: Not a directory"):
        acquire.base("ec2", directory=f"{directory}/other")


@pytest.mark.parametrize(
    ("device", "disk", "is_on"),
    [
        ("/dev/sda", "/dev/sda", True),
        ("/dev/sda12", "/dev/sda", True),
        ("/dev/sdaa1", "/dev/sda", False),
        ("/dev/sdb1", "/dev/sda", False),
        ("/dev/loop1", "/dev/loop1", True),
        ("/dev/loop1p2", "/dev/loop1", True),
        ("/dev/loop10p2", "/dev/loop1", False),
        ("/dev/loop12", "/dev/loop1", False),
        ("/dev/nvme0n1p1", "/dev/nvme0n1", True),
    ],
)
def test_which_disk_is_in_use(device, disk, is_on):
    assert diskplan.is_on(device, disk) is is_on
