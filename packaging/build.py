"""Make dist/coreos.pyz: a shiv archive, rewritten so that commands run in place.

What shiv makes unpacks itself into the user's home before anything runs. Here the code stays
inside: our package at the root, the pure-Python libraries under site-packages/, their compiled code
in a block before the zip, and archive_main.py, which loads from it. Compiled libraries ride along
as whole wheels that daemons unpack (coreos_py/base/accelerators.py). shiv's _bootstrap/ and
environment.json stay, so that shiv-info can read the archive. Entries are sorted and dated 1980:
the same tree gives the same bytes.

Run by packaging/build.sh, which provides the interpreter.
"""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import CodeType

import fetch

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "packaging"
BUILD = ROOT / "build"
DIST = ROOT / "dist"
SHEBANG = "#!/usr/bin/python3 -IS\n"
SIZE_LIMIT = 11 << 20


def main() -> None:
    """Build, and replace dist/coreos.pyz only when its bytes change."""
    sys.path.insert(0, str(ROOT))
    runtime = fetch.wheels(
        LOCKS / "requirements.txt", BUILD / "wheels", pythons=(fetch.PYTHON_OLDEST,)
    )
    accelerators = fetch.wheels(
        LOCKS / "requirements-accelerators.txt",
        BUILD / "accelerators",
        pythons=fetch.ACCELERATED_PYTHONS,
    )
    stage(BUILD / "stage", runtime)
    plain = BUILD / "shiv.pyz"
    run_shiv(BUILD / "stage", plain)
    files = rewritten(plain)
    files.update(accelerator_files(accelerators))
    files.update(man_pages())
    data = archive(files)
    if len(data) > SIZE_LIMIT:
        raise SystemExit(f"build.py: the archive has {len(data)} bytes, more than {SIZE_LIMIT}")
    install(data)
    links()
    print(f"dist/coreos.pyz: {len(data)} bytes, {len(files)} entries")


def stage(directory: Path, wheels: list[Path]) -> None:
    """What a `pip install --target` would give, without its run-time differences."""
    shutil.rmtree(directory, ignore_errors=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as source:
            for name in sorted(source.namelist()):
                if wanted(name):
                    source.extract(name, directory)
    for path in sorted((ROOT / "coreos_py").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            target = directory / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    shutil.copyfile(ROOT / "LICENSE", directory / "coreos_py" / "LICENSE")


def wanted(name: str) -> bool:
    """Whether a wheel's file goes in: every entry costs every command 4 to 8 microseconds."""
    if name.endswith(("/", ".so", ".pyi", "/py.typed")) or ".data/" in name or "/tests/" in name:
        return False
    if ".dist-info/" in name:
        return name.endswith("/METADATA") or "licen" in name.lower()
    return True


def run_shiv(directory: Path, out: Path) -> None:
    """The archive as shiv makes it."""
    subprocess.run(
        [
            *(sys.executable, "-m", "shiv", "--reproducible", "--python", SHEBANG[2:].strip()),
            *("--entry-point", "coreos_py.multicall:main"),
            *("--site-packages", str(directory), "--output-file", str(out)),
        ],
        check=True,
        cwd=ROOT,
    )


def rewritten(plain: Path) -> dict[str, bytes]:
    """shiv's archive with our package at the root and compiled files beside the sources."""
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(plain) as source:
        for name in source.namelist():
            if name.endswith(("/", ".pyc")) or name == "__main__.py":
                continue
            if name.startswith("site-packages/bin/"):
                continue
            data = source.read(name)
            if name == "environment.json":
                data = settled_environment(data)
            name = name.removeprefix("site-packages/") if "/coreos_py/" in name else name
            files[name] = data
    main = (LOCKS / "archive_main.py").read_bytes()
    files["__main__.py"] = main
    files["__main__.pyc"] = compiled(main, "__main__.py")
    return files


def block(files: dict[str, bytes]) -> bytes:
    """The modules' compiled code and its index, as archive_main.py reads them."""
    index: dict[str, tuple[int, int, str]] = {}
    codes: list[bytes] = []
    offset = 0
    for name in sorted(files):
        module = name.removeprefix("site-packages/")
        if module == "__main__.py" or not module.endswith(".py") or name.startswith("_bootstrap/"):
            continue
        code = marshal.dumps(code_of(files[name], name))
        words = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        index[words] = (offset, len(code), name)
        codes.append(code)
        offset += len(code)
    head = marshal.dumps(index, 2)  # a version without references, which depend on who else has one
    size = len(head).to_bytes(4, "little")
    return b"".join((importlib.util.MAGIC_NUMBER, size, head, *codes))


def code_of(source: bytes, name: str) -> CodeType:
    """A module's code, whose file name is the one inside the archive."""
    code: CodeType = compile(source, name, "exec", dont_inherit=True, optimize=0)
    return code


def settled_environment(data: bytes) -> bytes:
    """shiv's own record, in one order and without anything of this machine."""
    environment = json.loads(data)
    environment.pop("hashes", None)
    return json.dumps(environment, sort_keys=True).encode()


def compiled(source: bytes, name: str) -> bytes:
    """A hash-based, unchecked .pyc."""
    flags = (1).to_bytes(4, "little")
    head = importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source)
    return head + marshal.dumps(code_of(source, name))


def accelerator_files(wheels: list[Path]) -> dict[str, bytes]:
    """The wheels, and an index with the digest that a daemon checks before it unpacks one."""
    index = {wheel.name: fetch.sha256(wheel) for wheel in wheels}
    files = {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
    files["wheels/index.json"] = json.dumps(index, indent=0, sort_keys=True).encode()
    return files


def man_pages() -> dict[str, bytes]:
    """The pages that `coreos man` shows."""
    pages = sorted(path for path in (ROOT / "man").iterdir() if path.suffix != ".in")
    return {f"man/{path.name}": path.read_bytes() for path in pages}


def archive(files: dict[str, bytes]) -> bytes:
    """The finished file's bytes."""
    out = io.BytesIO()
    out.write(SHEBANG.encode() + block(files))
    with zipfile.ZipFile(out, "w") as target:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            stored = name.endswith((".whl", ".pyc"))
            entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            target.writestr(entry, files[name], compresslevel=9)
    return out.getvalue()


def install(data: bytes) -> None:
    """Put the archive in dist/; an unchanged one is left alone, because it may be running."""
    DIST.mkdir(exist_ok=True)
    path = DIST / "coreos.pyz"
    if path.is_file() and path.read_bytes() == data:
        return
    temporary = DIST / ".coreos.pyz.new"
    temporary.write_bytes(data)
    temporary.chmod(0o755)
    temporary.rename(path)


def links() -> None:
    """dist/bin/<command> for every row of the table, and nothing else there."""
    from coreos_py.commands import TABLE

    directory = DIST / "bin"
    directory.mkdir(exist_ok=True)
    for path in directory.iterdir():
        if path.name not in TABLE:
            path.unlink()
    for name in TABLE:
        link = directory / name
        if not link.is_symlink() or os.readlink(link) != "../coreos.pyz":
            link.unlink(missing_ok=True)
            link.symlink_to("../coreos.pyz")


if __name__ == "__main__":
    main()
