"""What CoreUpdate's API knows beyond CoreRoller's tables.

A client of that API signs with its key, so the key itself has to be kept.
"""

STATEMENTS = (
    """CREATE TABLE hawk_user (
        name TEXT PRIMARY KEY,
        key TEXT NOT NULL,
        created_us BIGINT NOT NULL
    )""",
    """CREATE TABLE upstream (
        id TEXT PRIMARY KEY,
        url TEXT NOT NULL,
        label TEXT NOT NULL,
        created_us BIGINT NOT NULL
    )""",
    "ALTER TABLE channel ADD COLUMN publish INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE channel ADD COLUMN upstream_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE groups ADD COLUMN oem_blacklist TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX event_group ON event (group_id, created_us)",
)
