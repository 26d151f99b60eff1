"""What may be in a config of which version: structures, their fields, types and first versions.

Pure data. `str`, `int` and `bool` have a zero value when absent; with `?` they are None then.
`[T]` is a list. A word after a colon is the name Go's decoder gives to the type in its complaints.
Follows the JSON schemas in config/ of Ignition 0.35 (2.x) and 2.14 to 2.26 (3.x).
"""

from __future__ import annotations

from typing import NamedTuple

Version = tuple[int, ...]

VERSIONS_2: tuple[Version, ...] = ((2, 0), (2, 1), (2, 2), (2, 3), (2, 4))
VERSIONS_3: tuple[Version, ...] = tuple((3, minor) for minor in range(7))
# 3.4.0-experimental, as Ignition 2.14 has it: 3.3.0, S3's ARNs, and all bits of a mode.
EXPERIMENTAL: Version = (3, 3, 1)
EXPERIMENTAL_NAME = "3.4.0-experimental"
SPECIAL_BITS_FROM: Version = (3, 6)

_NODE = "path str; overwrite bool?; user NodeUser; group NodeGroup"
_TEXT_3 = {
    "Config": "ignition Ignition; kernelArguments KernelArguments@3.3; passwd Passwd;"
    " storage Storage; systemd Systemd",
    "KernelArguments": "shouldExist [str:KernelArgument]; shouldNotExist [str:KernelArgument]",
    "Ignition": "version str; config IgnitionConfig; proxy Proxy@3.1; security Security;"
    " timeouts Timeouts",
    "IgnitionConfig": "merge [Resource]; replace Resource",
    "Proxy": "httpProxy str?; httpsProxy str?; noProxy [str:NoProxyItem]",
    "Security": "tls TLS",
    "TLS": "certificateAuthorities [Resource]",
    "Timeouts": "httpResponseHeaders int?; httpTotal int?",
    "Resource": "source str?; verification Verification; compression str?;"
    " httpHeaders [HTTPHeader]",
    "Verification": "hash str?",
    "HTTPHeader": "name str; value str?",
    "Storage": "directories [Directory]; disks [Disk]; files [File]; filesystems [Filesystem];"
    " links [Link]; luks [Luks]@3.2; raid [Raid]",
    "Directory": f"{_NODE}; mode int?",
    "File": f"{_NODE}; append [Resource]; contents Resource; mode int?",
    "Link": f"{_NODE}; hard bool?; target str?",
    "NodeUser": "id int?; name str?",
    "NodeGroup": "id int?; name str?",
    "Disk": "device str; partitions [Partition]; wipeTable bool?",
    "Partition": "guid str?; label str?; number int; resize bool?@3.2; shouldExist bool?;"
    " sizeMiB int?; startMiB int?; typeGuid str?; wipePartitionEntry bool?",
    "Filesystem": "device str; format str?; label str?; mountOptions [str:MountOption]@3.1;"
    " options [str:FilesystemOption]; path str?; uuid str?; wipeFilesystem bool?",
    "Raid": "devices [str:Device]; level str?; name str; options [str:RaidOption]; spares int?",
    "Luks": "cex Cex@3.5; clevis Clevis; device str?; discard bool?@3.4; keyFile Resource;"
    " label str?; name str; openOptions [str:OpenOption]@3.4; options [str:LuksOption]; uuid str?;"
    " wipeVolume bool?",
    "Cex": "enabled bool?",
    "Clevis": "custom ClevisCustom; tang [Tang]; threshold int?; tpm2 bool?",
    "ClevisCustom": "config str?; needsNetwork bool?; pin str?",
    "Tang": "thumbprint str?; url str; advertisement str?@3.4",
    "Systemd": "units [Unit]",
    "Unit": "contents str?; dropins [Dropin]; enabled bool?; mask bool?; name str",
    "Dropin": "contents str?; name str",
    "Passwd": "groups [PasswdGroup]; users [PasswdUser]",
    "PasswdGroup": "gid int?; name str; passwordHash str?; shouldExist bool?@3.2; system bool?",
    "PasswdUser": "gecos str?; groups [str:Group]; homeDir str?; name str; noCreateHome bool?;"
    " noLogInit bool?; noUserGroup bool?; passwordHash str?; primaryGroup str?;"
    " sshAuthorizedKeys [str:SSHAuthorizedKey]; shell str?; shouldExist bool?@3.2; system bool?;"
    " uid int?",
}

# Version 3.0 has a structure of its own for each thing that is fetched.
_TEXT_30 = {
    "IgnitionConfig": "merge [ConfigReference]; replace ConfigReference",
    "TLS": "certificateAuthorities [CaReference]",
    "File": f"{_NODE}; append [FileContents]; contents FileContents; mode int?",
    "ConfigReference": "source str?; verification Verification",
    "CaReference": "source str; verification Verification",
    "FileContents": "compression str?; source str?; verification Verification",
}

_NODE_2 = "filesystem str; path str; user NodeUser?; group NodeGroup?; overwrite bool?@2.2"
_USER_2 = (
    "uid int?; gecos str; homeDir str; noCreateHome bool; primaryGroup str; groups [str:Group];"
    " noUserGroup bool; noLogInit bool; shell str; system bool"
)
_USER_21 = "; ".join(f"{field}@2.1" for field in _USER_2.split("; "))
_TEXT_2 = {
    "Config": "ignition Ignition; networkd Networkd; passwd Passwd; storage Storage;"
    " systemd Systemd",
    "Ignition": "version str; config IgnitionConfig; timeouts Timeouts@2.1; security Security@2.2;"
    " proxy Proxy@2.4",
    "IgnitionConfig": "append [ConfigReference]; replace ConfigReference?",
    "Timeouts": "httpResponseHeaders int?; httpTotal int?",
    "Security": "tls TLS",
    "TLS": "certificateAuthorities [CaReference]",
    "Proxy": "httpProxy str; httpsProxy str; noProxy [str:NoProxyItem]",
    "ConfigReference": "source str; verification Verification; httpHeaders [HTTPHeader]@2.4",
    "CaReference": "source str; verification Verification; httpHeaders [HTTPHeader]@2.4",
    "HTTPHeader": "name str; value str",
    "Verification": "hash str?",
    "Storage": "disks [Disk]; raid [Raid]; filesystems [Filesystem]; files [File];"
    " directories [Directory]@2.1; links [Link]@2.1",
    "Disk": "device str; wipeTable bool; partitions [Partition]",
    "Partition": "label str?; number int; size int?; start int?; typeGuid str; guid str@2.1;"
    " sizeMiB int?@2.3; startMiB int?@2.3; wipePartitionEntry bool@2.3; shouldExist bool?@2.3",
    "Raid": "name str; level str; devices [str:Device]; spares int; options [str:RaidOption]@2.2",
    "Filesystem": "name str; mount Mount?; path str?",
    "Mount": "device str; format str; create Create?; label str?@2.1; uuid str?@2.1;"
    " options [str:MountOption]@2.1; wipeFilesystem bool@2.1",
    "Create": "force bool; options [str:CreateOption]",
    "File": f"{_NODE_2}; contents FileContents; mode int?; append bool@2.2",
    "Directory": f"{_NODE_2}; mode int?",
    "Link": f"{_NODE_2}; target str; hard bool",
    "FileContents": "compression str; source str; verification Verification;"
    " httpHeaders [HTTPHeader]@2.4",
    "NodeUser": "id int?; name str@2.1",
    "NodeGroup": "id int?; name str@2.1",
    "Systemd": "units [Unit]",
    "Unit": "name str; enable bool; enabled bool?@2.1; mask bool; contents str;"
    " dropins [SystemdDropin]",
    "SystemdDropin": "name str; contents str",
    "Networkd": "units [Networkdunit]",
    "Networkdunit": "name str; contents str; dropins [NetworkdDropin]@2.2",
    "NetworkdDropin": "name str; contents str",
    "Passwd": "users [PasswdUser]; groups [PasswdGroup]",
    "PasswdUser": f"name str; passwordHash str?; sshAuthorizedKeys [str:SSHAuthorizedKey];"
    f" create Usercreate?; {_USER_21}",
    "Usercreate": _USER_2,
    "PasswdGroup": "name str; gid int?; passwordHash str; system bool",
}

_TEXT_1 = {
    "Config": "ignitionVersion int; storage Storage; systemd Systemd; networkd Networkd;"
    " passwd Passwd",
    "Storage": "disks [Disk]; raid [Raid]; filesystems [Filesystem]",
    "Filesystem": "device str; format str; create Create?; files [File]",
    "File": "path str; contents str; mode int; uid int; gid int",
    **{
        name: _TEXT_2[name]
        for name in (
            "Disk Partition Raid Create Systemd Unit SystemdDropin Networkd Networkdunit"
            " NetworkdDropin Passwd PasswdUser Usercreate PasswdGroup"
        ).split()
    },
}


class Field(NamedTuple):
    """One field of a structure. `kind` is str, int, bool, or the name of a structure."""

    name: str
    kind: str
    is_list: bool
    is_optional: bool
    go_name: str


Schema = dict[str, dict[str, Field]]


def name_of(version: Version) -> str:
    """A version as configs state it."""
    return EXPERIMENTAL_NAME if version == EXPERIMENTAL else f"{version[0]}.{version[1]}.0"


def has_special_bits(version: Version) -> bool:
    """Whether set-uid, set-gid and sticky bits count in configs of this version."""
    return version >= SPECIAL_BITS_FROM or version == EXPERIMENTAL


def of(version: Version) -> Schema:
    """The structures of a version: (1, 0), 2.x or 3.x."""
    text = {1: _TEXT_1, 2: _TEXT_2, 3: _TEXT_3}[version[0]]
    if version == (3, 0):
        text = text | _TEXT_30
    return {name: _fields(line, version) for name, line in text.items()}


def _fields(line: str, version: Version) -> dict[str, Field]:
    found = {}
    for part in line.split(";"):
        name, kind = part.split()
        kind, _, since = kind.partition("@")
        if since and version < tuple(int(number) for number in since.split(".")):
            continue
        is_optional, kind = kind.endswith("?"), kind.rstrip("?")
        is_list, kind = kind.startswith("["), kind.strip("[]")
        kind, _, alias = kind.partition(":")
        found[name] = Field(name, kind, is_list, is_optional, alias or kind)
    return found
