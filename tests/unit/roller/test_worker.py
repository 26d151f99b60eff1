"""The database's threads: what is durable when an answer leaves, and what one failure costs."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing, contextmanager

import pytest

from coreos_py.http.message import Request, Response
from coreos_py.roller import worker as module
from coreos_py.roller.call import Call, Config, Undo
from coreos_py.roller.db.driver import DatabaseError, connect
from coreos_py.roller.worker import Job, Worker


def call():
    return Call(Request("POST", b"/x", {}, 1), 0, "", "", str, Config(), {("a", "b")})


def put(value):
    def handler(tx, _call):
        tx.execute("INSERT INTO t (v) VALUES (?)", value)
        return Response(200, (), str(value).encode())

    return handler


def kept(path):
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT v FROM t ORDER BY v")]


def run(path, scenario, *, open_writer=None):
    if path is not None:
        with closing(connect(path)) as database, database.transaction() as tx:
            tx.execute("CREATE TABLE IF NOT EXISTS t (v INTEGER PRIMARY KEY)")

    async def main():
        worker = Worker(
            open_writer=open_writer or (lambda: connect(path)),
            open_reader=lambda: connect(path, read_only=True),
        )
        try:
            async with asyncio.timeout(240):
                await scenario(worker)
        finally:
            await worker.close(60)

    asyncio.run(main())


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "x.db")


def test_an_answer_is_on_the_disk(path):
    async def scenario(worker):
        for value in range(5):
            reply = await worker.run(put(value), call(), write=True)
            assert reply.body == str(value).encode()
            assert kept(path) == list(range(value + 1))

    run(path, scenario)


def test_many_that_wait_share_a_transaction_and_keep_their_order(path, monkeypatch):
    batches = []
    perform = module._Lane._perform

    def count(lane, batch):
        batches.append(len(batch))
        return perform(lane, batch)

    monkeypatch.setattr(module._Lane, "_perform", count)
    gate, inside = threading.Event(), threading.Event()

    def wait(_tx, _call):
        inside.set()
        gate.wait(60)
        return Response(200)

    async def scenario(worker):
        order = []
        first = asyncio.ensure_future(worker.run(wait, call(), write=True))
        assert await asyncio.to_thread(inside.wait, 60)
        done = asyncio.Event()
        for value in range(600):

            def note(_reply, value=value):
                order.append(value)
                if len(order) == 600:
                    done.set()

            worker.submit(Job(put(value), call(), note), write=True)
        assert worker.waiting == 600
        gate.set()
        await first
        await done.wait()
        assert order == list(range(600))
        assert kept(path) == order

    run(path, scenario)
    assert sum(batches) == 601
    assert len(batches) <= 5


def test_a_failure_takes_back_its_own_changes_only(path, caplog):
    def fail(tx, _call):
        tx.execute("INSERT INTO t (v) VALUES (?)", 100)
        raise ZeroDivisionError("of\ntwo lines")

    def refuse(tx, _call):
        tx.execute("INSERT INTO t (v) VALUES (?)", 101)
        raise Undo(Response(409, (), b"no"))

    def twice(tx, _call):
        tx.execute("INSERT INTO t (v) VALUES (?)", 1)
        return Response(200)

    async def scenario(worker):
        calls = [call() for _ in range(5)]
        handlers = (put(1), fail, refuse, twice, put(2))
        pairs = zip(handlers, calls, strict=True)
        work = (worker.run(handler, item, write=True) for handler, item in pairs)
        answers = await asyncio.gather(*work)
        assert [reply.status for reply in answers] == [200, 500, 409, 500, 200]
        assert [bool(item.changed) for item in calls] == [True, False, False, False, True]

    run(path, scenario)
    assert kept(path) == [1, 2]
    assert "POST /x: ZeroDivisionError: of two lines" in caplog.text


def test_nobody_pays_for_a_call_that_ends_the_transaction(path, caplog):
    gate = threading.Event()

    def wait(_tx, _call):
        gate.wait(60)
        return Response(200)

    def poison(_tx, _call):
        raise DatabaseError("the disk is full, say")

    async def scenario(worker):
        first = asyncio.ensure_future(worker.run(wait, call(), write=True))
        await asyncio.sleep(0)
        handlers = (put(1), put(2), poison, put(3), poison, put(4))
        work = [asyncio.ensure_future(worker.run(item, call(), write=True)) for item in handlers]
        await asyncio.sleep(0)
        gate.set()
        answers = await asyncio.gather(first, *work)
        assert [reply.status for reply in answers] == [200, 200, 200, 503, 200, 503, 200]

    run(path, scenario)
    assert kept(path) == [1, 2, 3, 4]


def test_who_fails_late_pays_alone(place, caplog):
    """In PostgreSQL a statement that was sent ahead may fail while another call is served."""
    with closing(connect(place)) as database, database.transaction() as tx:
        tx.execute("CREATE TABLE late (v INTEGER PRIMARY KEY)")

    def send(value):
        def handler(tx, _call):
            tx.send("INSERT INTO late (v) VALUES (?)", value)
            return Response(200)

        return handler

    def ask(tx, _call):
        return Response(200, (), b"%d" % tx.one("SELECT COUNT(*) FROM late")[0])

    def undo(tx, _call):
        tx.send("INSERT INTO late (v) VALUES (9)")
        raise Undo(Response(409))

    def broken(tx, _call):
        tx.send("UPDATE nowhere SET v = 1")
        return Response(200)

    async def scenario(worker):
        gate = threading.Event()
        first = asyncio.ensure_future(worker.run(lambda *_: wait(gate), call(), write=True))
        await asyncio.sleep(0)
        handlers = (
            send(1),
            send(1),
            ask,
            undo,
            broken,
            send(2),
            send(2),
            undo,
            send(3),
            send(3),
            ask,
        )
        work = [asyncio.ensure_future(worker.run(item, call(), write=True)) for item in handlers]
        await asyncio.sleep(0)
        gate.set()
        answers = await asyncio.gather(first, *work)
        wanted = [200, 200, 500, 200, 409, 503, 200, 500, 409, 200, 500, 200]
        assert [reply.status for reply in answers] == wanted
        assert (answers[3].body, answers[-1].body) == (b"1", b"3")
        gate.clear()
        first = asyncio.ensure_future(worker.run(lambda *_: wait(gate), call(), write=True))
        await asyncio.sleep(0)
        work = [asyncio.ensure_future(worker.run(send(4), call(), write=True)) for _ in range(2)]
        await asyncio.sleep(0)
        gate.set()
        answers = await asyncio.gather(first, *work)  # found out by the commit
        assert [reply.status for reply in answers] == [200, 200, 500]

    def wait(gate):
        gate.wait(60)
        return Response(200)

    try:
        run(None, scenario, open_writer=lambda: connect(place))
        with closing(connect(place)) as database, database.transaction() as tx:
            assert tx.all("SELECT v FROM late ORDER BY v") == [(1,), (2,), (3,), (4,)]
        for word in ("duplicate" if "postgres" in place else "UNIQUE", "nowhere"):
            assert word in caplog.text
    finally:
        with closing(connect(place)) as database, database.transaction() as tx:
            tx.execute("DROP TABLE late")


def test_a_commit_that_fails_is_not_tried_again(path):
    class Broken:
        """A database whose commits nobody hears of."""

        dialect = "sqlite"

        def __init__(self):
            self.database = connect(path)

        @contextmanager
        def transaction(self):
            with self.database.transaction() as tx:
                yield tx
            raise DatabaseError("the connection broke off")

        def savepoint(self, tx):
            return self.database.savepoint(tx)

        def close(self):
            self.database.close()

    async def scenario(worker):
        work = [asyncio.ensure_future(worker.run(put(n), call(), write=True)) for n in range(3)]
        answers = await asyncio.gather(*work)
        assert {reply.status for reply in answers} == {503}

    run(path, scenario, open_writer=Broken)
    assert kept(path) == [0, 1, 2]


def test_readers_do_not_wait_for_the_writer_and_cannot_write(path):
    gate = threading.Event()

    def wait(tx, _call):
        tx.execute("INSERT INTO t (v) VALUES (?)", 7)
        gate.wait(60)
        return Response(200)

    def count(tx, _call):
        return Response(200, (), b"%d" % tx.one("SELECT COUNT(*) FROM t")[0])

    async def scenario(worker):
        writing = asyncio.ensure_future(worker.run(wait, call(), write=True))
        await asyncio.sleep(0)
        assert (await worker.run(count, call(), write=False)).body == b"0"
        assert (await worker.run(put(9), call(), write=False)).status in (500, 503)
        gate.set()
        await writing
        assert (await worker.run(count, call(), write=False)).body == b"1"

    run(path, scenario)
    assert kept(path) == [7]


def test_a_database_that_is_away_comes_back(path):
    away = [True]

    def open_writer():
        if away[0]:
            raise DatabaseError("cannot be reached")
        return connect(path)

    async def scenario(worker):
        reply = await worker.run(put(1), call(), write=True)
        assert (reply.status, dict(reply.headers)["Retry-After"]) == (503, "10")
        away[0] = False
        assert (await worker.run(put(1), call(), write=True)).status == 200

    run(path, scenario, open_writer=open_writer)
    assert kept(path) == [1]


def test_what_waits_at_the_end_is_done_and_what_comes_later_refused(path):
    async def scenario(worker):
        answers = []
        for value in range(50):
            worker.submit(Job(put(value), call(), answers.append), write=True)
        await worker.close(60)
        assert (await worker.run(put(99), call(), write=True)).status == 503
        await asyncio.sleep(0)
        assert [reply.status for reply in answers] == [200] * 50

    run(path, scenario)
    assert kept(path) == list(range(50))
