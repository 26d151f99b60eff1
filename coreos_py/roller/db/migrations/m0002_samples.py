"""What the charts over time are drawn from: one count per version and status now and then."""

STATEMENTS = (
    """CREATE TABLE sample (
        group_id TEXT NOT NULL REFERENCES groups ON DELETE CASCADE,
        at_us BIGINT NOT NULL,
        version TEXT NOT NULL,
        status INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (group_id, at_us, version, status)
    )""",
    "CREATE INDEX sample_when ON sample (at_us)",
)
