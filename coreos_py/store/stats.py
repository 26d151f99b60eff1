"""Counters of what the store did. Mirrors etcd 2.3 store/stats.go."""

from __future__ import annotations

FIELDS = (
    ("getsSuccess", "gets_success"),
    ("getsFail", "gets_fail"),
    ("setsSuccess", "sets_success"),
    ("setsFail", "sets_fail"),
    ("deleteSuccess", "delete_success"),
    ("deleteFail", "delete_fail"),
    ("updateSuccess", "update_success"),
    ("updateFail", "update_fail"),
    ("createSuccess", "create_success"),
    ("createFail", "create_fail"),
    ("compareAndSwapSuccess", "compare_and_swap_success"),
    ("compareAndSwapFail", "compare_and_swap_fail"),
    ("compareAndDeleteSuccess", "compare_and_delete_success"),
    ("compareAndDeleteFail", "compare_and_delete_fail"),
    ("expireCount", "expire_count"),
)
"""(JSON name, attribute), in wire order; `watchers` follows them."""


class Stats:
    """The counters; plain attributes, so that the hot path pays one addition."""

    __slots__ = (*(attribute for _, attribute in FIELDS), "recursive_gets")

    gets_success: int
    gets_fail: int
    sets_success: int
    sets_fail: int
    delete_success: int
    delete_fail: int
    update_success: int
    update_fail: int
    create_success: int
    create_fail: int
    compare_and_swap_success: int
    compare_and_swap_fail: int
    compare_and_delete_success: int
    compare_and_delete_fail: int
    expire_count: int
    recursive_gets: int  # of this process; in no snapshot

    def __init__(self) -> None:
        for _, attribute in FIELDS:
            setattr(self, attribute, 0)
        self.recursive_gets = 0

    def to_json(self, *, watchers: int) -> str:
        """The body of /v2/stats/store, and the Stats object of a snapshot."""
        members = [f'"{name}":{getattr(self, attribute)}' for name, attribute in FIELDS]
        return f'{{{",".join(members)},"watchers":{watchers}}}'

    def load(self, members: dict[str, object]) -> None:
        """Take the counters of a snapshot; absent ones become 0."""
        for name, attribute in FIELDS:
            value = members.get(name, 0)
            setattr(self, attribute, value if isinstance(value, int) and value >= 0 else 0)
