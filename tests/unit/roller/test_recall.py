"""What a transaction need not ask twice."""

from __future__ import annotations

import pytest

from coreos_py.roller.db import apps, groups, packages
from coreos_py.roller.db.recall import Recall
from coreos_py.roller.records import COREOS_APP, App
from tests.support import rollerdb

ASK = "SELECT id FROM groups WHERE id = ?"

STAYS = {
    "SELECT a FROM application WHERE id = ?": True,
    "SELECT a FROM package p LEFT JOIN coreos_action a ON a.package_id = p.id": True,
    "SELECT p.version FROM groups g JOIN channel c ON 1 = 1 JOIN package p ON 1 = 1": True,
    "SELECT channel_id FROM package_channel_blacklist": True,
    "SELECT 1 FROM standing WHERE group_id = ?": False,
    "SELECT a FROM activity a JOIN application app ON app.id = a.app_id": False,
    "SELECT COUNT(*) FROM (SELECT 1 FROM standing) AS late": False,
    "SELECT nextval('x')": False,
    "SELECT name FROM users": False,
}


@pytest.mark.parametrize(("sql", "stays"), STAYS.items())
def test_which_answers_stay(sql, stays):
    recall = Recall()
    recall.keep(sql, ("x",), [("row",)])
    assert recall.find(sql, ("x",)) == ([("row",)] if stays else None)
    assert recall.find(sql, ("y",)) is None


WRITES = {
    "INSERT INTO event (id) VALUES (?)": True,
    "INSERT INTO tally (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET a = 1": True,
    "UPDATE standing SET version = ?": True,
    "DELETE FROM session WHERE id = ?": True,
    "UPDATE groups SET rollout_in_progress = ?": False,
    "DELETE FROM application WHERE id = ?": False,
    "DELETE FROM upstream": False,
    "INSERT INTO package_channel_blacklist VALUES (?, ?)": False,
    "ALTER TABLE groups ADD COLUMN x TEXT": False,
    "WITH x AS (DELETE FROM event) SELECT 1": False,
}


@pytest.mark.parametrize(("sql", "stays"), WRITES.items())
def test_what_is_remembered_after_a_write(sql, stays):
    recall = Recall()
    recall.keep(ASK, ("g",), [("g",)])
    recall.wrote(sql)
    assert (recall.find(ASK, ("g",)) is not None) == stays


def test_nobody_changes_what_is_remembered():
    recall, rows = Recall(), [("g",)]
    recall.keep(ASK, (), rows)
    rows.clear()
    recall.find(ASK, ()).clear()
    assert recall.find(ASK, ()) == [("g",)]
    recall.forget()
    assert recall.find(ASK, ()) is None


def _rename_and_fail(tx):
    apps.update(tx, App("new", "Other", "", None, 1))
    assert apps.find(tx, "new").name == "Other"
    raise ZeroDivisionError


def test_a_transaction_sees_what_it_writes(both):
    """With and without a part that is undone, in both databases."""
    with rollerdb.undone(both) as tx:
        assert apps.find(tx, "new") is None
        apps.add(tx, App("new", "New", "", None, 1))
        assert apps.find(tx, "new").name == "New"
        with pytest.raises(ZeroDivisionError), both.savepoint(tx):
            _rename_and_fail(tx)
        assert apps.find(tx, "new").name == "New"

        rollerdb.fill(tx, policy=rollerdb.LOOSE, app_id=COREOS_APP, version="2.0.0")
        group = groups.find(tx, "g-main")
        groups.pause(tx, group, "why not", 5)
        assert groups.by_track(tx, COREOS_APP, "main").pause_reason == "why not"
        assert groups.find(tx, "g-main").pause_reason == "why not"
        package = packages.by_version(tx, COREOS_APP, "2.0.0")
        packages.update(tx, package._replace(url="http://other/"))
        assert packages.find(tx, package.id).url == "http://other/"
        apps.delete(tx, COREOS_APP)
        assert groups.find(tx, "g-main") is None
        assert packages.find(tx, package.id) is None
    with both.transaction() as tx:
        assert apps.find(tx, "new") is None
        assert apps.find(tx, COREOS_APP) is not None
