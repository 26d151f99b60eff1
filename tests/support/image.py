"""Disk images by packaging/image, versions of /usr made from theirs, and payloads with them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from coreos_py.update.disk import Disk
from coreos_py.update.gpt import SECTOR
from tests.support import payloads, procs
from tests.support.slots import Bits

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / "packaging" / "image" / "build.sh"
_ESP_OFFSET = 4096 * SECTOR
# What a broken version does to be booted at all; it has no kernel of its own.
POSTINST = """\
#!/bin/sh
set -e
case $(cgpt show -l "$1") in USR-A) here=b there=a ;; *) here=a there=b ;; esac
for file in vmlinuz initrd; do cp "/boot/coreos/$file-$here" "/boot/coreos/$file-$there"; done
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
        self.initrd = folder / "boot" / "initrd"
        words = [str(BUILD), "-o", str(self.disk), "-u", str(self.usr), "-x", str(folder / "boot")]
        words += ["-p", str(archive), "-k", payloads.PUBLIC_KEY, *options]
        done = subprocess.run(words, capture_output=True, text=True, timeout=1500, check=False)
        assert done.returncode == 0, done.stderr

    def new_disk(self, name: str) -> Path:
        """A copy of the disk, for one machine."""
        copy = self._folder / name
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.disk, copy], check=True)
        return copy

    def tried_disk(self, name: str, image: Path | None) -> Path:
        """A copy that tries slot B next: with that image, or nothing that could be mounted."""
        copy = self.new_disk(name)
        esp = ["-i", f"{copy}@@{_ESP_OFFSET}"]
        subprocess.run(["mcopy", *esp, "::/coreos/initrd-a", str(self.initrd)], check=True)
        for source, target in ((self.kernel, "vmlinuz-b"), (self.initrd, "initrd-b")):
            subprocess.run(["mcopy", *esp, str(source), f"::/coreos/{target}"], check=True)
        self.initrd.unlink()
        with Disk(str(copy), write=True) as disk:
            gpt = disk.gpt()
            gpt.check()
            offset = gpt.entries[3].first * SECTOR
            gpt.entries[3] = gpt.entries[3].marked(priority=2, tries=1, successful=0)
            disk.save(gpt)
        if image is not None:
            words = ["dd", f"if={image}", f"of={copy}", "bs=1M", f"seek={offset}"]
            words += ["oflag=seek_bytes", "conv=sparse,notrunc", "status=none"]
            subprocess.run(words, check=True)
        return copy

    def version(self, version: str, files: dict[str, str | bytes] | None = None) -> Path:
        """The image of a whole system that says it is that version, with some other files."""
        image = self._folder / f"usr-{version}.img"
        shutil.copy(self.usr, image)
        contents = {"share/coreos/release": _release(version), **(files or {})}
        script = []
        for number, (name, content) in enumerate(contents.items()):
            data = content.encode() if isinstance(content, str) else content
            source = self._folder / f"file-{version}-{number}"
            source.write_bytes(data)
            source.chmod(0o755 if data.startswith(b"#!") else 0o644)
            script += [f"mkdir {Path(name).parent}", f"rm {name}", f"write {source} {name}"]
        subprocess.run(
            ["debugfs", "-w", "-f", "-", str(image)],
            input="\n".join(script).encode(), capture_output=True, check=True,
        )  # fmt: skip
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


def _release(version: str) -> str:
    return f"COREOS_RELEASE_VERSION={version}\nCOREOS_RELEASE_BOARD=amd64-usr\n"


def _coreos(*words: str) -> None:
    done = subprocess.run(
        [*procs.command("coreos"), *words],
        capture_output=True, text=True, check=False, env=procs.environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def bits(disk: Path) -> dict[str, Bits]:
    """Priority, tries and successful of both slots, as they are on a disk now."""
    with Disk(str(disk)) as opened:
        gpt = opened.gpt()
        gpt.check()
        assert gpt.is_whole
    rows = {letter: gpt.entries[number - 1] for letter, number in (("a", 3), ("b", 4))}
    return {key: (row.priority, row.tries, int(row.successful)) for key, row in rows.items()}
