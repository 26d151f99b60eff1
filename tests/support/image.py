"""Disk images by packaging/image, versions of /usr made from theirs, and payloads with them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from coreos_py.update.disk import Disk
from coreos_py.update.gpt import SECTOR, Entry
from tests.support import payloads, procs
from tests.support.slots import Bits

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / "packaging" / "image" / "build.sh"
INIT = "lib/systemd/systemd"
_ESP_OFFSET = 4096 * SECTOR
# What a broken version does to be booted at all; it has no kernel of its own.
POSTINST = """\
#!/bin/sh
set -e
case $(cgpt show -l "$1") in USR-A) here=b there=a ;; *) here=a there=b ;; esac
for file in vmlinuz initrd; do cp "/boot/coreos/$file-$here" "/boot/coreos/$file-$there"; done
sync
/usr/bin/coreos-postinst -image "${0%/*}" "$1" "KERNEL=/boot/coreos/vmlinuz-$there"
"""


class Images:
    """A disk with version 1.0.0 in slot A, and what newer versions are made of."""

    def __init__(self, folder: Path, archive: Path, *, options: Iterable[str] = ()) -> None:
        self._folder = folder
        self.disk = folder / "disk.img"
        self.usr = folder / "usr.img"
        self.kernel = folder / "boot" / "vmlinuz"
        self.selector = folder / "boot" / "selector"
        words = [str(BUILD), "-o", str(self.disk), "-u", str(self.usr), "-x", str(folder / "boot")]
        words += ["-p", str(archive), "-k", payloads.PUBLIC_KEY, *options]
        done = subprocess.run(words, capture_output=True, text=True, timeout=1500, check=False)
        assert done.returncode == 0, done.stderr

    def new_disk(self, name: str, like: Path | None = None) -> Path:
        """A copy of the disk, or of another one, for one machine."""
        copy = self._folder / name
        words = ["cp", "--sparse=always", "--reflink=auto", str(like or self.disk), str(copy)]
        subprocess.run(words, check=True)
        return copy

    def version(self, version: str, files: dict[str, str | bytes] | None = None) -> Path:
        """The image of a whole system that says it is that version, with some other files."""
        image = self._folder / f"usr-{version}.img"
        shutil.copy(self.usr, image)
        contents = {"share/coreos/release": _release(version), **(files or {})}
        _put(str(image), contents, self._folder / f"file-{version}")
        return image

    def small(self, version: str, files: dict[str, str]) -> Path:
        """The image of a version that can only be installed."""
        tree = self._folder / f"tree-{version}"
        for name, text in {"postinst": POSTINST, "share/oem/.keep": "", **files}.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        (tree / "share/coreos").mkdir()
        (tree / "share/coreos/release").write_text(_release(version))
        image = self._folder / f"usr-{version}.img"
        words = ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", str(tree)]
        subprocess.run([*words, str(image), "2m"], check=True, capture_output=True)
        return image

    def payload(self, image: Path, *, old: Path | None = None, key: str = payloads.KEY) -> Path:
        """A signed payload; with `old` only the difference to that image."""
        target = image.with_suffix(f".{Path(key).name}.payload")
        words = ["payload", "build", "--image", str(image), "--key", key, "-o", str(target)]
        words += ["--old-image", str(old)] if old else []
        _coreos(*words)
        return target

    def other_key(self) -> str:
        """A private key that the disk knows nothing of."""
        path = self._folder / "other-key.pem"
        words = ["openssl", "genrsa", "-out", str(path), "2048"]
        subprocess.run(words, check=True, capture_output=True)
        return str(path)


def unmountable(disk: Path, letter: str) -> None:
    """That slot's filesystem is none any more."""
    with disk.open("r+b") as file:
        file.seek(_slot_offset(disk, letter))
        file.write(bytes(1 << 20))


def replace_init(disk: Path, letter: str, text: str) -> None:
    """That slot's system has another init."""
    place = f"{disk}?offset={_slot_offset(disk, letter)}"
    _put(place, {INIT: text}, disk.with_suffix(".init"))


def freeze_kernel(disk: Path, letter: str) -> None:
    """That slot's kernel turns off interrupts and stops."""
    esp = ["-i", f"{disk}@@{_ESP_OFFSET}"]
    name, copy = f"::/coreos/vmlinuz-{letter}", disk.with_suffix(".vmlinuz")
    subprocess.run(["mcopy", *esp, name, str(copy)], check=True)
    data = bytearray(copy.read_bytes())
    start = (data[0x1F1] + 1) * SECTOR + 0x200  # where a 64-bit boot loader jumps to
    data[start : start + 4] = b"\xfa\xf4\xeb\xfc"  # cli, and hlt for ever
    copy.write_bytes(data)
    subprocess.run(["mcopy", "-o", *esp, str(copy), name], check=True)


def _slot_offset(disk: Path, letter: str) -> int:
    return _slots(disk)[letter].first * SECTOR


def _put(image: str, files: dict[str, str | bytes], scratch: Path) -> None:
    """Files in a filesystem, there instead of what was; only scripts can be run."""
    script = []
    for number, (name, content) in enumerate(files.items()):
        data = content.encode() if isinstance(content, str) else content
        source = scratch.with_name(f"{scratch.name}-{number}")
        source.write_bytes(data)
        source.chmod(0o755 if data.startswith(b"#!") else 0o644)
        script += [f"mkdir {Path(name).parent}", f"rm {name}", f"write {source} {name}"]
    subprocess.run(
        ["debugfs", "-w", "-f", "-", image],
        input="\n".join(script).encode(), capture_output=True, check=True,
    )  # fmt: skip


def _release(version: str) -> str:
    return f"COREOS_RELEASE_VERSION={version}\nCOREOS_RELEASE_BOARD=amd64-usr\n"


def _coreos(*words: str) -> None:
    done = subprocess.run(
        [*procs.command("coreos"), *words],
        capture_output=True, text=True, check=False, env=procs.environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _slots(disk: Path) -> dict[str, Entry]:
    with Disk(str(disk)) as opened:
        gpt = opened.gpt()
        gpt.check()
        assert gpt.is_whole
    return {"a": gpt.entries[2], "b": gpt.entries[3]}


def bits(disk: Path) -> dict[str, Bits]:
    """Priority, tries and successful of both slots, as they are on a disk now."""
    rows = _slots(disk).items()
    return {key: (row.priority, row.tries, int(row.successful)) for key, row in rows}
