"""CoreUpdate's packages as our records. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.roller.records import Action, Package, PackageType

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def package(
    fields: dict[str, Any], *, app_id: str, version: str, new_id: Callable[[], str], now_us: int
) -> Package:
    """A package of shapes.PACKAGE's fields; absent ones may be left out.

    update_engine puts base and name together as they are, so the slash stays with the base.
    """
    base, slash, name = fields.get("url", "").rpartition("/")
    return Package(
        id=new_id(),
        app_id=app_id,
        type=PackageType.COREOS,
        version=version,
        url=base + slash,
        filename=name or None,
        description=fields.get("releaseNotes") or None,
        size=fields.get("size") or None,
        hash=fields.get("sha1Sum") or None,
        created_us=now_us,
        action=Action(
            id=new_id(),
            sha256=fields.get("sha256Sum", ""),
            created_us=now_us,
            metadata_signature_rsa=fields.get("metadataSignatureRsa", ""),
            metadata_size=fields.get("metadataSize", ""),
        ),
    )
