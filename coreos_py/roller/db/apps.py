"""The applications."""

from __future__ import annotations

from coreos_py.roller.db.driver import Tx
from coreos_py.roller.records import SEEN_US, App, Invalid

_SELECT = "SELECT id, name, description, product_id, created_us FROM application"


def find(tx: Tx, app_id: str) -> App | None:
    """The application with this id."""
    row = tx.one(f"{_SELECT} WHERE id = ?", app_id)
    return None if row is None else App(*row)


def by_product(tx: Tx, product_id: str) -> App | None:
    """The application that Omaha and CoreUpdate's API know by this name."""
    row = tx.one(f"{_SELECT} WHERE product_id = ?", product_id)
    return None if row is None else App(*row)


def bare_id(text: str) -> str:
    """An id as the tables have it: small letters, no braces."""
    bare = text[1:-1] if text[:1] == "{" and text[-1:] == "}" else text
    return bare.lower()


def named(tx: Tx, text: str) -> App | None:
    """What a client means: an id with or without braces, or a product id, too."""
    return find(tx, bare_id(text)) or by_product(tx, text) or by_product(tx, text.strip("{}"))


def listing(tx: Tx, *, limit: int = 500, offset: int = 0) -> list[App]:
    """The newest first."""
    rows = tx.all(
        f"{_SELECT} ORDER BY created_us DESC, id LIMIT ? OFFSET ?",
        limit,
        offset,
    )
    return [App(*row) for row in rows]


def count(tx: Tx) -> int:
    """How many there are."""
    row = tx.one("SELECT COUNT(*) FROM application")
    return int(row[0]) if row else 0


def instances(tx: Tx, app_id: str, now_us: int) -> int:
    """How many instances run it, of those seen lately."""
    row = tx.one(
        "SELECT COUNT(*) FROM standing WHERE app_id = ? AND last_check_us > ?",
        app_id,
        now_us - SEEN_US,
    )
    return int(row[0]) if row else 0


def add(tx: Tx, app: App) -> None:
    """Register an application; Invalid when its name or product id is taken."""
    _check_free(tx, app)
    tx.execute(
        "INSERT INTO application (id, name, description, product_id, created_us)"
        " VALUES (?, ?, ?, ?, ?)",
        *app,
    )


def update(tx: Tx, app: App) -> bool:
    """Change name, description and product id; False if there is no such application."""
    _check_free(tx, app)
    changed = tx.execute(
        "UPDATE application SET name = ?, description = ?, product_id = ? WHERE id = ?",
        app.name,
        app.description,
        app.product_id,
        app.id,
    )
    return changed > 0


def delete(tx: Tx, app_id: str) -> bool:
    """Remove an application and everything of it; False if there is none."""
    return tx.execute("DELETE FROM application WHERE id = ?", app_id) > 0


def _check_free(tx: Tx, app: App) -> None:
    if tx.one("SELECT 1 FROM application WHERE name = ? AND id <> ?", app.name, app.id):
        raise Invalid(f'there is an application "{app.name}" already')
    if app.product_id is not None:
        other = tx.one(
            "SELECT 1 FROM application WHERE product_id = ? AND id <> ?", app.product_id, app.id
        )
        if other:
            raise Invalid(f'there is an application with product id "{app.product_id}" already')
