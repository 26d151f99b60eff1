"""The tables of CoreRoller 1.0.6 without teams, plus what rollerd knows beyond them.

`standing` is CoreRoller's instance_application; `tally` counts its rows so that no decision has to.
"""

STATEMENTS = (
    """CREATE TABLE application (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        description TEXT NOT NULL,
        product_id TEXT UNIQUE,
        created_us BIGINT NOT NULL
    )""",
    """CREATE TABLE package (
        id TEXT PRIMARY KEY,
        app_id TEXT NOT NULL REFERENCES application ON DELETE CASCADE,
        type INTEGER NOT NULL,
        version TEXT NOT NULL,
        url TEXT NOT NULL,
        filename TEXT,
        description TEXT,
        size TEXT,
        hash TEXT,
        created_us BIGINT NOT NULL,
        UNIQUE (app_id, version)
    )""",
    """CREATE TABLE coreos_action (
        id TEXT PRIMARY KEY,
        package_id TEXT NOT NULL UNIQUE REFERENCES package ON DELETE CASCADE,
        sha256 TEXT NOT NULL,
        created_us BIGINT NOT NULL,
        event TEXT NOT NULL,
        chromeos_version TEXT NOT NULL,
        needs_admin INTEGER NOT NULL,
        is_delta INTEGER NOT NULL,
        disable_payload_backoff INTEGER NOT NULL,
        metadata_signature_rsa TEXT NOT NULL,
        metadata_size TEXT NOT NULL,
        deadline TEXT NOT NULL
    )""",
    """CREATE TABLE channel (
        id TEXT PRIMARY KEY,
        app_id TEXT NOT NULL REFERENCES application ON DELETE CASCADE,
        name TEXT NOT NULL,
        color TEXT NOT NULL,
        package_id TEXT REFERENCES package ON DELETE SET NULL,
        created_us BIGINT NOT NULL,
        UNIQUE (app_id, name)
    )""",
    "CREATE INDEX channel_package ON channel (package_id)",
    """CREATE TABLE package_channel_blacklist (
        package_id TEXT NOT NULL REFERENCES package ON DELETE CASCADE,
        channel_id TEXT NOT NULL REFERENCES channel ON DELETE CASCADE,
        PRIMARY KEY (package_id, channel_id)
    )""",
    """CREATE TABLE groups (
        id TEXT PRIMARY KEY,
        app_id TEXT NOT NULL REFERENCES application ON DELETE CASCADE,
        channel_id TEXT REFERENCES channel ON DELETE SET NULL,
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        track TEXT NOT NULL,
        created_us BIGINT NOT NULL,
        policy_updates_enabled INTEGER NOT NULL,
        policy_safe_mode INTEGER NOT NULL,
        policy_office_hours INTEGER NOT NULL,
        policy_timezone TEXT,
        policy_period_interval TEXT NOT NULL,
        policy_max_updates_per_period INTEGER NOT NULL,
        policy_update_timeout TEXT NOT NULL,
        policy_canaries INTEGER NOT NULL,
        update_percent DOUBLE PRECISION NOT NULL,
        rollout TEXT NOT NULL,
        rollout_active INTEGER NOT NULL,
        rollout_started_us BIGINT,
        rollout_in_progress INTEGER NOT NULL,
        pause_reason TEXT NOT NULL,
        UNIQUE (app_id, name),
        UNIQUE (app_id, track)
    )""",
    "CREATE INDEX groups_channel ON groups (channel_id)",
    """CREATE TABLE instance (
        id TEXT PRIMARY KEY,
        ip TEXT NOT NULL,
        created_us BIGINT NOT NULL,
        alias TEXT NOT NULL,
        oem TEXT NOT NULL,
        oem_version TEXT NOT NULL,
        aleph_version TEXT NOT NULL,
        board TEXT NOT NULL,
        boot_id TEXT NOT NULL
    )""",
    """CREATE TABLE standing (
        instance_id TEXT NOT NULL REFERENCES instance ON DELETE CASCADE,
        app_id TEXT NOT NULL REFERENCES application ON DELETE CASCADE,
        group_id TEXT REFERENCES groups ON DELETE SET NULL,
        version TEXT NOT NULL,
        created_us BIGINT NOT NULL,
        last_check_us BIGINT NOT NULL,
        status INTEGER,
        granted_us BIGINT,
        granted_version TEXT,
        in_progress INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        failed_version TEXT,
        retry_us BIGINT NOT NULL,
        seen INTEGER NOT NULL,
        PRIMARY KEY (instance_id, app_id)
    )""",
    "CREATE INDEX standing_app ON standing (app_id, group_id)",
    "CREATE INDEX standing_group ON standing (group_id)",
    "CREATE INDEX standing_seen ON standing (last_check_us) WHERE seen = 1",
    """CREATE INDEX standing_granted ON standing (group_id, granted_us)
        WHERE seen = 1 AND granted_us IS NOT NULL""",
    """CREATE INDEX standing_under_way ON standing (group_id, granted_us)
        WHERE seen = 1 AND in_progress = 1""",
    """CREATE TABLE tally (
        group_id TEXT NOT NULL REFERENCES groups ON DELETE CASCADE,
        version TEXT NOT NULL,
        running INTEGER NOT NULL,
        granted INTEGER NOT NULL,
        in_progress INTEGER NOT NULL,
        succeeded INTEGER NOT NULL,
        PRIMARY KEY (group_id, version)
    )""",
    """CREATE TABLE instance_status_history (
        id {serial},
        instance_id TEXT NOT NULL REFERENCES instance ON DELETE CASCADE,
        app_id TEXT NOT NULL REFERENCES application ON DELETE CASCADE,
        group_id TEXT,
        status INTEGER NOT NULL,
        version TEXT,
        created_us BIGINT NOT NULL
    )""",
    "CREATE INDEX instance_status_history_of ON instance_status_history (instance_id, app_id, id)",
    """CREATE TABLE event (
        id {serial},
        instance_id TEXT NOT NULL,
        app_id TEXT NOT NULL REFERENCES application ON DELETE CASCADE,
        group_id TEXT,
        type INTEGER NOT NULL,
        result INTEGER NOT NULL,
        error_code BIGINT NOT NULL,
        previous_version TEXT,
        version TEXT NOT NULL,
        created_us BIGINT NOT NULL,
        ignored TEXT NOT NULL
    )""",
    "CREATE INDEX event_of ON event (instance_id, app_id, id)",
    "CREATE INDEX event_when ON event (created_us)",
    """CREATE TABLE activity (
        id {serial},
        created_us BIGINT NOT NULL,
        class INTEGER NOT NULL,
        severity INTEGER NOT NULL,
        version TEXT NOT NULL,
        app_id TEXT NOT NULL REFERENCES application ON DELETE CASCADE,
        group_id TEXT REFERENCES groups ON DELETE CASCADE,
        channel_id TEXT REFERENCES channel ON DELETE CASCADE,
        instance_id TEXT,
        note TEXT NOT NULL
    )""",
    "CREATE INDEX activity_when ON activity (created_us)",
    "CREATE INDEX activity_group ON activity (group_id, class, created_us)",
    "CREATE INDEX activity_channel ON activity (channel_id)",
    """CREATE TABLE users (
        name TEXT PRIMARY KEY,
        secret TEXT NOT NULL,
        role TEXT NOT NULL,
        created_us BIGINT NOT NULL
    )""",
    """CREATE TABLE token (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        hash TEXT NOT NULL UNIQUE,
        user_name TEXT NOT NULL,
        created_us BIGINT NOT NULL,
        last_used_us BIGINT
    )""",
    """CREATE TABLE session (
        id TEXT PRIMARY KEY,
        user_name TEXT NOT NULL,
        role TEXT NOT NULL,
        created_us BIGINT NOT NULL,
        expires_us BIGINT NOT NULL
    )""",
)
