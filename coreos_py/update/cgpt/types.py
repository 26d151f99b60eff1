"""The names of partition types: what cgpt's options take, and what it shows."""

from __future__ import annotations

from coreos_py.update.gpt import UNUSED, guid_bytes

# (GUID, name, description); shown is the first description of a GUID.
_TYPES = (
    ("cab6e88e-abf3-4102-a07a-d4bb9be3c1d3", "firmware", "ChromeOS firmware"),
    ("fe3a2a5d-4f32-41a7-b725-accc3285a309", "kernel", "ChromeOS kernel"),
    ("3cb8e202-3b7e-47dd-8a3c-7ff2a13cfcec", "rootfs", "ChromeOS rootfs"),
    ("0fc63daf-8483-4772-8e79-3d69d8477de4", "data", "Alias for linux-data"),
    ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "chromeos-data", "Alias for mswin-data"),
    ("2e0a753d-9e48-43b0-8337-b15192cb1b5e", "reserved", "ChromeOS reserved"),
    ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "mswin-data", "MS Windows data"),
    ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "efi", "EFI System Partition"),
    ("21686148-6449-6e6f-744e-656564454649", "bios", "BIOS Boot Partition"),
    ("00000000-0000-0000-0000-000000000000", "unused", "Unused (nonexistent) partition"),
    ("0fc63daf-8483-4772-8e79-3d69d8477de4", "linux-data", "Linux data"),
    ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "linux-swap", "Linux swap"),
    ("bc13c2ff-59e6-4262-a352-b275fd6f7172", "linux-boot", "Linux /boot"),
    ("933ac7e1-2eb4-4f13-b844-0e14e2aef915", "linux-home", "Linux /home"),
    ("e6d6d379-f507-44c2-a23c-238f2a3df928", "linux-lvm", "Linux LVM"),
    ("a19d880f-05fc-4d3b-a006-743f0f84911e", "linux-raid", "Linux RAID"),
    ("8da63339-0007-60c0-c436-083ac8230908", "linux-reserved", "Linux reserved"),
    ("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6", "coreos-usr", "Alias for coreos-rootfs"),
    ("5dfbf5f4-2848-4bac-aa5e-0d9a20b745a6", "coreos-rootfs", "CoreOS rootfs"),
    ("3884dd41-8582-4404-b9a8-e9b84f2df50e", "coreos-resize", "CoreOS auto-resize"),
    ("c95dc21a-df0e-4340-8d7b-26cbfa9a03e0", "coreos-reserved", "CoreOS reserved"),
    ("be9067b9-ea49-4f15-b4f6-f36f8c9e1818", "coreos-root-raid", "CoreOS RAID containing root"),
)

NAMES = tuple(name for _, name, _ in _TYPES)
_BY_NAME = {name: guid_bytes(guid) for guid, name, _ in _TYPES}
_SHOWN: dict[bytes, str] = {}
for _guid, _, _description in _TYPES:
    _SHOWN.setdefault(guid_bytes(_guid), _description)

assert _BY_NAME["unused"] == UNUSED


def by_name(text: str) -> bytes:
    """The type that an alias or a GUID names; ValueError."""
    return _BY_NAME[text] if text in _BY_NAME else guid_bytes(text)


def shown(guid: bytes) -> str:
    """A type's description; "" for one that is not known."""
    return _SHOWN.get(guid, "")
