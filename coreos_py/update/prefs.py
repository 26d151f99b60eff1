"""What update_engine remembers: the names, as update_engine 0.4.10 has them, and ours. Pure."""

from __future__ import annotations

ALEPH_VERSION = "aleph-version"
PREVIOUS_VERSION = "previous-version"
RESPONSE_SIGNATURE = "current-response-signature"
RESPONSE_HASH = "update-check-response-hash"  # of the payload that is in the spool
URL_INDEX = "current-url-index"
URL_FAILURES = "current-url-failure-count"
ATTEMPTS = "payload-attempt-number"
BACKOFF = "backoff-expiry-time"
DELTA_FAILURES = "delta-update-failures"

# ours
INSTALLED_HASH = "installed-payload-hash"
ROLLBACK_HASH = "rollback-payload-hash"
ROLLBACK_COUNT = "rollback-count"
ROLLBACK_EXPIRY = "rollback-expiry-time"

ALL = frozenset(
    {
        *(ALEPH_VERSION, PREVIOUS_VERSION, RESPONSE_SIGNATURE, RESPONSE_HASH, URL_INDEX),
        *(URL_FAILURES, ATTEMPTS, BACKOFF, DELTA_FAILURES),
        *(INSTALLED_HASH, ROLLBACK_HASH, ROLLBACK_COUNT, ROLLBACK_EXPIRY),
    }
)
