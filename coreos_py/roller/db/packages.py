"""The packages: versions of applications, their actions, and the channels that never serve them."""

from __future__ import annotations

from coreos_py.roller import semver
from coreos_py.roller.db.driver import Row, Tx
from coreos_py.roller.records import Action, Invalid, Package

_SELECT = (
    "SELECT p.id, p.app_id, p.type, p.version, p.url, p.filename, p.description, p.size, p.hash,"
    " p.created_us, a.id, a.sha256, a.created_us, a.event, a.chromeos_version, a.needs_admin,"
    " a.is_delta, a.disable_payload_backoff, a.metadata_signature_rsa, a.metadata_size, a.deadline"
    " FROM package p LEFT JOIN coreos_action a ON a.package_id = p.id"
)


def find(tx: Tx, package_id: str) -> Package | None:
    """The package with this id."""
    row = tx.one(f"{_SELECT} WHERE p.id = ?", package_id)
    return None if row is None else _package(tx, row)


def by_version(tx: Tx, app_id: str, version: str) -> Package | None:
    """The application's package of this version."""
    row = tx.one(f"{_SELECT} WHERE p.app_id = ? AND p.version = ?", app_id, version)
    return None if row is None else _package(tx, row)


def listing(tx: Tx, app_id: str, *, limit: int = 500, offset: int = 0) -> list[Package]:
    """An application's packages, the newest version first."""
    rows = tx.all("SELECT id, version FROM package WHERE app_id = ?", app_id)
    rows.sort(key=lambda row: (semver.sort_key(row[1]), row[0]), reverse=True)
    chosen = [find(tx, row[0]) for row in rows[offset : offset + limit]]
    return [package for package in chosen if package is not None]


def count(tx: Tx, app_id: str) -> int:
    """How many packages an application has."""
    row = tx.one("SELECT COUNT(*) FROM package WHERE app_id = ?", app_id)
    return int(row[0]) if row else 0


def filenames(tx: Tx) -> list[str]:
    """The payloads that packages name."""
    rows = tx.all("SELECT DISTINCT filename FROM package WHERE filename IS NOT NULL")
    return [row[0] for row in rows]


def add(tx: Tx, package: Package) -> None:
    """Register a package, its action and its blacklist; Invalid when the version is there."""
    _check_free(tx, package)
    tx.execute(
        "INSERT INTO package (id, app_id, type, version, url, filename, description, size, hash,"
        " created_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *package[:10],
    )
    _put_action(tx, package)
    _put_blacklist(tx, package)


def update(tx: Tx, package: Package) -> bool:
    """Change everything but id, application and birth; False if there is no such package.

    Without an action it keeps the one it has.
    """
    _check_free(tx, package)
    changed = tx.execute(
        "UPDATE package SET type = ?, version = ?, url = ?, filename = ?, description = ?,"
        " size = ?, hash = ? WHERE id = ?",
        *package[2:9],
        package.id,
    )
    if not changed:
        return False
    if package.action is not None:
        tx.execute("DELETE FROM coreos_action WHERE package_id = ?", package.id)
        _put_action(tx, package)
    tx.execute("DELETE FROM package_channel_blacklist WHERE package_id = ?", package.id)
    _put_blacklist(tx, package)
    return True


def delete(tx: Tx, package_id: str) -> bool:
    """Remove a package; its channels have none then. False if there is none."""
    return tx.execute("DELETE FROM package WHERE id = ?", package_id) > 0


def _package(tx: Tx, row: Row) -> Package:
    banned = tx.all(
        "SELECT channel_id FROM package_channel_blacklist WHERE package_id = ? ORDER BY channel_id",
        row[0],
    )
    return of_row(row, tuple(item[0] for item in banned))


def of_row(row: Row, blacklist: tuple[str, ...]) -> Package:
    """The columns of package and coreos_action as a record."""
    action = None
    if row[10] is not None:
        flags = (bool(flag) for flag in row[15:18])
        action = Action._make((*row[10:15], *flags, *row[18:21]))
    return Package._make((*row[:10], action, blacklist))


def _check_free(tx: Tx, package: Package) -> None:
    if tx.one(
        "SELECT 1 FROM package WHERE app_id = ? AND version = ? AND id <> ?",
        package.app_id,
        package.version,
        package.id,
    ):
        raise Invalid(f"there is a package of version {package.version} already")


def _put_action(tx: Tx, package: Package) -> None:
    action = package.action
    if action is None:
        return
    tx.execute(
        "INSERT INTO coreos_action (package_id, id, sha256, created_us, event, chromeos_version,"
        " needs_admin, is_delta, disable_payload_backoff, metadata_signature_rsa, metadata_size,"
        " deadline) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        package.id,
        *action[:5],
        *(int(flag) for flag in action[5:8]),
        *action[8:],
    )


def _put_blacklist(tx: Tx, package: Package) -> None:
    """Invalid when a channel is of another application, or points to the package."""
    for channel_id in dict.fromkeys(package.blacklist):
        row = tx.one("SELECT app_id, package_id FROM channel WHERE id = ?", channel_id)
        if row is None or row[0] != package.app_id:
            raise Invalid(f"the application has no channel {channel_id}")
        if row[1] == package.id:
            raise Invalid(f"channel {channel_id} points to the package that shall avoid it")
        tx.execute(
            "INSERT INTO package_channel_blacklist (package_id, channel_id) VALUES (?, ?)",
            package.id,
            channel_id,
        )
