"""PostgreSQL's protocol: how one gets in, what one is told otherwise, and what is left of it."""

from __future__ import annotations

import struct
from contextlib import closing

import pytest

from coreos_py.base.errors import WireError
from coreos_py.roller.db import pgwire
from coreos_py.roller.db.driver import DatabaseError, Late, Rejected, connect
from coreos_py.roller.db.postgres import Target, target
from coreos_py.roller.db.setup import prepare
from tests.support import postgres, rollerdb
from tests.support.certs import make_certs

TARGETS = {
    "postgres://u:p%40@h:1/n": Target("h", 1, "u", "p@", "n", "prefer", ""),
    "postgresql://u@h": Target("h", 5432, "u", "", "u", "prefer", ""),
    "postgres://u@[::1]/n?sslmode=disable": Target("::1", 5432, "u", "", "n", "disable", ""),
    "postgres://u@%2Frun/n": Target("/run", 5432, "u", "", "n", "prefer", ""),
    "postgres://p@h:1/coreroller?sslmode=disable&connect_timeout=10": Target(  # CoreRoller's own
        *("h", 1, "p", "", "coreroller", "disable", "", 10)
    ),
    "postgres://u@h/n?connect_timeout=-1": Target("h", 5432, "u", "", "n", "prefer", "", 0),
    "postgres://u@/n?host=/run&port=7": Target("/run", 7, "u", "", "n", "prefer", ""),
}


@pytest.mark.parametrize(("url", "expected"), TARGETS.items())
def test_urls(url, expected, monkeypatch):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    assert target(url) == expected


def test_the_password_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "secret")
    assert target("postgres://u@h").password == "secret"
    assert target("postgres://u:mine@h").password == "mine"


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:hidden@h:port/n",
        "postgres://u:hidden@h:99999/n",
        "postgres://u:hidden@h/n?port=x",
        "postgres://u:hidden@h/n?sslmode=maybe",
        "postgres://u:hidden@h/n?connect_timeout=soon",
        "postgres://u:hidden@h/n?color=red",
        "postgres://u:hidden@[h/n",
        "postgres://u:hidden@h/n?junk",
    ],
)
def test_urls_that_cannot_be(url):
    with pytest.raises(DatabaseError) as caught:
        target(url)
    assert "hidden" not in str(caught.value)


def test_messages_come_in_pieces():
    stream = b"Z\0\0\0\x05I" + b"C\0\0\0\x0dINSERT 0 1\0"[:14]
    inbox, found = pgwire.Inbox(), []
    for byte in stream:
        inbox.feed(bytes([byte]))
        while message := inbox.take():
            found.append(message)
    assert [message.kind for message in found] == [b"Z", b"C"]


@pytest.mark.parametrize("size", [0, 3, 1 << 30])
def test_sizes_that_are_none(size):
    inbox = pgwire.Inbox()
    inbox.feed(b"D" + struct.pack("!I", size))
    with pytest.raises(WireError):
        inbox.take()


@pytest.mark.parametrize(
    "challenge",
    [
        *(b"", b"r=other,s=c2FsdA==,i=4096", b"r=mine1,s=!,i=x", b"r=mine1,s=c2FsdA==,i=0"),
        b"r=mine1,s=c2FsdA==,i=999999999",
    ],
)
def test_challenges_that_are_none(challenge):
    with pytest.raises(WireError):
        pgwire.Scram("secret", "mine").final(challenge)


def test_the_server_has_to_prove_itself():
    scram = pgwire.Scram("secret", "mine")
    with pytest.raises(WireError):
        scram.verify(b"v=")
    scram.final(b"r=mine1,s=c2FsdA==,i=10")
    with pytest.raises(WireError, match="does not know"):
        scram.verify(b"v=" + b"A" * 43 + b"=")


def test_nobody_there():
    with pytest.raises(DatabaseError, match=r"cannot open the database n at 127.0.0.1:1: "):
        connect("postgres://u:hidden@127.0.0.1:1/n")


def test_who_gets_in(postgres_url):
    with closing(connect(postgres_url)) as database, rollerdb.undone(database) as tx:
        assert tx.one("SELECT current_user, 1, 2.5, 3::numeric, 1.5::float8, NULL, 1 = 1") == (
            *("boss", 1, 2.5, 3, 1.5, None, True),
        )
    for wrong, words in ((":wrong@", "authentication failed"), ("@", "wants a password")):
        url = postgres_url.replace(postgres_url.partition("boss")[2].partition("127")[0], wrong)
        with pytest.raises(DatabaseError, match=words):
            connect(url)
    with pytest.raises(DatabaseError, match="does not exist"):
        connect(postgres_url.replace("/postgres", "/nowhere"))
    with pytest.raises(DatabaseError, match="does not speak TLS"):
        connect(postgres_url + "?sslmode=require")


def test_a_connection_that_was_cut(postgres_url):
    with closing(connect(postgres_url)) as database:
        with pytest.raises(DatabaseError), database.transaction() as tx:
            _cut(postgres_url, tx, then="SELECT 1")
        with database.transaction() as tx:
            assert tx.one("SELECT 1") == (1,)


def test_a_connection_that_was_cut_in_between(postgres_url):
    with closing(connect(postgres_url)) as database:
        with database.transaction() as tx:
            (number,) = tx.one("SELECT pg_backend_pid()")
        with closing(connect(postgres_url, read_only=True)) as other, other.transaction() as view:
            view.one("SELECT pg_terminate_backend(?, 60000)", number)
        with database.transaction() as tx, database.savepoint(tx):
            assert tx.one("SELECT 1") == (1,)


def test_a_commit_that_nobody_heard_of(postgres_url):
    with closing(connect(postgres_url)) as database:
        with pytest.raises(DatabaseError), database.transaction() as tx:
            _cut(postgres_url, tx)
        with database.transaction() as tx:
            assert tx.one("SELECT 1") == (1,)


def _cut(url, tx, *, then=""):
    (number,) = tx.one("SELECT pg_backend_pid()")
    with closing(connect(url, read_only=True)) as other, other.transaction() as view:
        assert view.one("SELECT pg_terminate_backend(?, 60000)", number) == (True,)
    if then:
        tx.one(then)


def test_two_writers_take_turns(postgres_url):
    """Another rollerd on this database waits; here it is told to give up."""
    with closing(connect(postgres_url)) as database, closing(connect(postgres_url)) as other:
        with other.transaction() as tx:
            tx.execute("SET SESSION lock_timeout = 1")
        with (
            database.transaction(),
            pytest.raises(DatabaseError, match="lock timeout"),
            other.transaction(),
        ):
            pass
        with other.transaction() as tx:
            assert tx.one("SELECT 1") == (1,)


def test_texts_with_a_nul(postgres_url):
    with closing(connect(postgres_url)) as database, rollerdb.undone(database) as tx:
        with pytest.raises(Rejected):
            tx.one("SELECT CAST(? AS TEXT)", "a\0b")
        assert tx.one("SELECT CAST(? AS TEXT)", "ab") == ("ab",)


@pytest.mark.skipif(postgres.PROGRAMS is None, reason="PostgreSQL is not installed")
def test_tls_and_old_ways_to_ask(tmp_path):
    certs = make_certs(tmp_path)
    key, certificate = str(certs.server_key), str(certs.server_cert)
    with postgres.Server(method="md5", certificate=certificate, key=key) as server:
        for options in ("sslmode=disable", "sslmode=prefer", "sslmode=require",
                        f"sslmode=verify-full&sslrootcert={certs.ca}"):  # fmt: skip
            with closing(connect(server.url(options=options))) as base, base.transaction() as tx:
                found = tx.one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                assert found == ("disable" not in options,)
        with pytest.raises(DatabaseError, match="certificate verify failed"):
            connect(server.url(options="sslmode=verify-ca"))


# -- what is sent without an answer being needed

WRONG = "INSERT INTO migration (number, name, applied_us) VALUES (1, 'twice', 1)"


@pytest.fixture
def prepared(postgres_url):
    with closing(connect(postgres_url)) as database:
        prepare(database, 1)
        yield database


def test_many_are_sent_ahead(prepared):
    with rollerdb.undone(prepared) as tx:
        (before,) = tx.one("SELECT COUNT(*) FROM users")
        for number in range(1000):
            tx.send("INSERT INTO users VALUES (?, '', '', 1)", f"u{number}")
        assert tx.one("SELECT COUNT(*) FROM users") == (before + 1000,)
        assert tx.execute("UPDATE users SET role = 'x' WHERE name LIKE 'u%'") >= 1000


def run(database, *steps):
    """A transaction with these steps; Late is the only way that it may fail."""
    with database.transaction() as tx:
        for step in steps:
            step(tx)


def send_wrong(tx):
    tx.send(WRONG)


def ask(tx):
    tx.one("SELECT 1")


def ask_and_hide_it(tx):
    with pytest.raises(Late, match="migration_pkey"):
        ask(tx)


def ask_wrong(tx):
    tx.execute(WRONG)


def ask_wrong_and_hide_it(tx):
    with pytest.raises(Rejected):
        ask_wrong(tx)


def use_new_statements(tx):
    tx.send("UPDATE users SET role = 'new' WHERE name = 'n'")
    tx.one("SELECT 'new', 7")


def part(tx):
    with tx.savepoint(tx):
        tx.send("UPDATE users SET role = 'part' WHERE name = 'n'")


def part_of_nothing(tx):
    """Sends what there is, and waits for nothing."""
    with tx.savepoint(tx):
        pass


def part_that_fails(tx):
    with tx.savepoint(tx):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((), "migration_pkey"),
        ((ask,), "migration_pkey"),
        ((ask_wrong,), "migration_pkey"),
        ((part,), "migration_pkey"),
        ((part, part, ask), "migration_pkey"),
        ((part_that_fails,), "migration_pkey"),
        ((use_new_statements,), "migration_pkey"),
        ((ask_and_hide_it,), "has failed"),
        ((ask_and_hide_it, ask), "has failed"),
        ((ask_and_hide_it, part), "has failed"),
    ],
)
def test_one_that_failed_ends_the_transaction(prepared, steps, words):
    """Whatever is asked next: it is not that one's fault, and nothing has happened."""

    def add(tx):
        tx.execute("INSERT INTO users VALUES ('kept', '', '', 1)")

    with pytest.raises(Late, match=words):
        run(prepared, add, send_wrong, *steps)
    with prepared.transaction() as tx:
        assert tx.one("SELECT 1 FROM users WHERE name = 'kept'") is None
        use_new_statements(tx)


@pytest.mark.parametrize("before", [(), (part,), (send_wrong,), (send_wrong, part_of_nothing)])
def test_what_was_not_sent_never_is(prepared, before):
    def send(tx):
        tx.send("INSERT INTO users VALUES ('unsent', '', '', 1)")

    def end(_tx):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(prepared, *before, send, end)
    with rollerdb.undone(prepared) as tx:
        assert tx.one("SELECT 1 FROM users WHERE name = 'unsent'") is None
        send(tx)
        assert tx.one("SELECT 1 FROM users WHERE name = 'unsent'") == (1,)


def test_a_statement_that_could_not_be_prepared_may_be_later(prepared):
    def use(tx):
        with prepared.savepoint(tx):
            return tx.one("SELECT v FROM later")

    with rollerdb.undone(prepared) as tx:
        with pytest.raises(DatabaseError, match="42P01"):
            use(tx)
        tx.execute("CREATE TABLE later (v INTEGER)")
        assert use(tx) is None


def test_a_commit_that_turns_out_to_be_a_rollback(prepared):
    """Somebody has caught a fault outside of a part."""
    with pytest.raises(Late, match="was rolled back"):
        run(prepared, ask_wrong_and_hide_it)
