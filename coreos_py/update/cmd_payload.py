"""`coreos payload`: make, look at, check and sign the files that update_engine downloads."""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import Any

import click

from coreos_py.base.errors import UsageError
from coreos_py.base.tabular import columns
from coreos_py.cli.progress import Progress
from coreos_py.update import payload_files
from coreos_py.update.payload import manifest as head
from coreos_py.update.payload.manifest import HOLE, Extent, Info, Manifest, Operation
from coreos_py.update.payload_files import Summary
from coreos_py.update.rsa import PrivateKey, PublicKey

_FILE = click.Path(dir_okay=False)


@click.group()
def payload() -> None:
    """Make, look at, check and sign update payloads."""


@payload.command()
@click.option("--image", type=_FILE, required=True, help="The new partition's image.")
@click.option("--output", "-o", type=_FILE, required=True, help="Where the payload goes.")
@click.option("--old-image", type=_FILE, help="Make a delta against this image.")
@click.option("--kernel", type=_FILE, help="Kernel to install with the partition.")
@click.option("--pcr-policy", type=_FILE, help="TPM policy to install with the partition.")
@click.option("--key", type=_FILE, help="Private RSA key (PEM) to sign with; 2048 bits.")
@click.option("--jobs", type=click.IntRange(1, 64), help="Threads (one per processor).")
def build(
    image: str,
    output: str,
    old_image: str | None,
    kernel: str | None,
    pcr_policy: str | None,
    key: str | None,
    jobs: int | None,
) -> None:
    """Make a payload from an image.

    Prints what an update server needs to know about it. The same files give the same bytes,
    whatever the machine.
    """
    with Progress() as progress:
        made = payload_files.build(
            output,
            image=image,
            old_image=old_image or "",
            kernel=kernel or "",
            pcr_policy=pcr_policy or "",
            key=PrivateKey(key) if key else None,
            jobs=jobs or os.cpu_count() or 1,
            progress=progress,
        )
    _print_summary(made)


@payload.command()
@click.argument("path", metavar="PAYLOAD", type=_FILE)
@click.option("--operations", is_flag=True, help="Also every operation.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def inspect(path: str, operations: bool, as_json: bool) -> None:
    """Show what a payload does, without believing it."""
    manifest, metadata_size = payload_files.read_manifest(path)
    made = payload_files.summary(path)
    if as_json:
        click.echo(json.dumps(_as_json(manifest, metadata_size, made)))
        return
    _print_summary(made)
    click.echo(f"kind:      {'delta' if manifest.is_delta else 'full'}")
    click.echo(f"metadata:  {metadata_size} bytes")
    click.echo(f"data:      {head.data_end(manifest)} bytes")
    click.echo(f"signature: {manifest.signatures_size or 0} bytes")
    if manifest.old_info is not None:
        click.echo(f"old image: {_info(manifest.old_info)}")
    if manifest.new_info is not None:
        click.echo(f"new image: {_info(manifest.new_info)}")
    for procedure in manifest.procedures:
        name = procedure.kind.name.lower() if procedure.kind is not None else "unknown"
        click.echo(f"{name}: {_info(procedure.new_info) if procedure.new_info else '-'}")
    counts: dict[str, list[int]] = {}
    for _, item in manifest.steps():
        counts.setdefault(item.kind.name, []).append(item.data_length)
    rows = [("OPERATION", "COUNT", "BYTES")]
    rows += [(name, str(len(sizes)), str(sum(sizes))) for name, sizes in sorted(counts.items())]
    click.echo(columns(rows), nl=False)
    if operations:
        table = [("OPERATION", "DATA", "FROM", "TO")]
        for procedure_, item in manifest.steps():
            where = "" if procedure_ is None else "file "
            table.append(
                (
                    f"{where}{item.kind.name}",
                    f"{item.data_offset}+{item.data_length}",
                    _extents(item.source),
                    _extents(item.target),
                )
            )
        click.echo(columns(table), nl=False)


@payload.command()
@click.argument("path", metavar="PAYLOAD", type=_FILE)
@click.option("--public-key", type=_FILE, help="Public RSA key (PEM) of who must have signed it.")
@click.option("--sha256", help="The digest it must have, in base64 or hex.")
@click.option("--old-image", type=_FILE, help="What a delta is applied to, on a scratch copy.")
def verify(path: str, public_key: str | None, sha256: str | None, old_image: str | None) -> None:
    """Check a payload as update_engine does, and apply it to a scratch file.

    A delta is only applied when its old image is given.
    """
    check = PublicKey(public_key).verify if public_key else None
    digest = _digest(sha256) if sha256 else None
    verified = payload_files.verify(path, sha256=digest, check_signature=check)
    said = ["the data is whole"]
    said.append("the signature is good" if verified.is_signed else "no signature was checked")
    if old_image or not verified.manifest.is_delta:
        payload_files.rehearse(path, verified, old_image=old_image or "")
        said.append("it makes the image it announces")
    click.echo(f"{path}: {', '.join(said)}")


@payload.command()
@click.argument("path", metavar="PAYLOAD", type=_FILE)
@click.option("--key", type=_FILE, required=True, help="Private RSA key (PEM).")
@click.option("--output", "-o", type=_FILE, required=True, help="Where the signed payload goes.")
def sign(path: str, key: str, output: str) -> None:
    """Sign a payload; a signature that it has is replaced."""
    _print_summary(payload_files.sign(path, output, key=PrivateKey(key)))


def _print_summary(made: Summary) -> None:
    click.echo(f"size:      {made.size}")
    click.echo(f"sha1:      {base64.b64encode(made.sha1).decode()}")
    click.echo(f"sha256:    {base64.b64encode(made.sha256).decode()}")


def _digest(text: str) -> bytes:
    try:
        found = bytes.fromhex(text) if len(text) == 64 else binascii.a2b_base64(text)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != 32:
        raise UsageError(f'"{text}" is no SHA-256 digest')
    return found


def _info(info: Info) -> str:
    return f"{info.size} bytes, sha256 {info.sha256.hex()}"


def _extents(extents: tuple[Extent, ...]) -> str:
    words = [f"{'hole' if e.start == HOLE else e.start}+{e.blocks}" for e in extents]
    return ",".join(words) or "-"


def _as_json(manifest: Manifest, metadata_size: int, made: Summary) -> dict[str, Any]:
    def info(item: Info | None) -> dict[str, Any] | None:
        return item and {"size": item.size, "sha256": item.sha256.hex()}

    def step(item: Operation) -> dict[str, Any]:
        return {
            "type": item.kind.name,
            "data_offset": item.data_offset,
            "data_length": item.data_length,
            "src_extents": [list(extent) for extent in item.source],
            "dst_extents": [list(extent) for extent in item.target],
            "data_sha256": item.data_sha256.hex(),
        }

    return {
        "size": made.size,
        "sha1": base64.b64encode(made.sha1).decode(),
        "sha256": base64.b64encode(made.sha256).decode(),
        "is_delta": manifest.is_delta,
        "metadata_size": metadata_size,
        "signatures_offset": manifest.signatures_offset,
        "signatures_size": manifest.signatures_size,
        "old_image": info(manifest.old_info),
        "new_image": info(manifest.new_info),
        "operations": [step(item) for item in manifest.operations],
        "files": [
            {
                "type": item.kind.name if item.kind is not None else None,
                "new": info(item.new_info),
                "operations": [step(operation) for operation in item.operations],
            }
            for item in manifest.procedures
        ],
    }
