"""The machine alone: which action follows which outcome, what is remembered, what is announced."""

from __future__ import annotations

import random

import pytest

from coreos_py.omaha.codes import ErrorCode
from coreos_py.omaha.request import Event
from coreos_py.omaha.response import Answer, Update
from coreos_py.update import prefs as names
from coreos_py.update.attempt import (
    Ask,
    Attempt,
    Clear,
    Facts,
    Failure,
    Fetch,
    Finish,
    Operation,
    Ping,
    Run,
    Status,
    Tell,
    Write,
    response_signature,
)
from coreos_py.update.schedule import Schedule

SHA = "EqYfThc/s6EcBdZHH3Ryj3YjG0pfzZZnzvOvh6OuTcI="
UPDATE = Update("2.0.0", ("http://a/p", "http://b/p"), 1000, SHA)
DAY = 24 * 3600
NOW = 1_000_000


class Middle:
    """Random numbers without chance."""

    def uniform(self, a, b):
        return (a + b) / 2


def make(prefs=None, *, rng=None, **options):
    facts = options.pop("facts", Facts("1.0.0"))
    return Attempt({} if prefs is None else prefs, facts=facts, rng=rng or Middle(), **options)


def play(attempt, outcomes, *, on_demand=False, now_s=NOW):
    """Every action of an attempt, each with the outcome its type has; None where there is none."""
    seen = []
    action = attempt.begin(on_demand=on_demand, now_s=now_s)
    while action is not None:
        seen.append(action)
        action = attempt.done(outcomes.get(type(action)), now_s=now_s)
    return seen


def kinds(actions):
    return [type(action).__name__ for action in actions]


def events(actions):
    return [tuple(action.event)[:3] for action in actions if isinstance(action, Tell)]


def test_everything_goes_well():
    prefs = {}
    attempt = make(prefs)
    seen = play(attempt, {Ask: Answer(UPDATE)}, on_demand=True)
    order = "Ask Tell Fetch Tell Clear Write Run Finish Tell".split()
    assert kinds(seen) == order
    assert seen[0] == Ask("0.0.0.0", 0, True)
    assert seen[2] == Fetch(UPDATE, "http://a/p")
    assert events(seen) == [(13, 1, 0), (14, 1, 0), (3, 1, 0)]
    assert attempt.status == Status(NOW, 0.0, Operation.NEED_REBOOT, "2.0.0", 1000)
    assert prefs[names.PREVIOUS_VERSION] == "1.0.0"
    assert kinds(play(attempt, {})) == ["Ping"]
    assert attempt.status.operation is Operation.NEED_REBOOT


def test_the_version_before_is_on_the_disk_before_the_slot_can_be_booted():
    prefs = {}
    attempt = make(prefs)
    action = attempt.begin(on_demand=False, now_s=NOW)
    while not isinstance(action, Run):
        action = attempt.done(Answer(UPDATE) if isinstance(action, Ask) else None, now_s=NOW)
    assert prefs[names.PREVIOUS_VERSION] == "1.0.0"


FAILS = {
    # where it fails: what follows, besides the report
    Ask: "Ask",
    Fetch: "Ask Tell Fetch",
    Clear: "Ask Tell Fetch Tell Clear",
    Write: "Ask Tell Fetch Tell Clear Write",
    Run: "Ask Tell Fetch Tell Clear Write Run",
    Finish: "Ask Tell Fetch Tell Clear Write Run Finish",
}


@pytest.mark.parametrize("where", list(FAILS), ids=lambda kind: kind.__name__)
def test_one_thing_goes_wrong(where):
    attempt = make(facts=Facts("1.0.0", is_custom_server=True))
    failure = Failure(ErrorCode.NEW_ROOTFS_VERIFICATION, "as the test wants it")
    seen = play(attempt, {Ask: Answer(UPDATE), where: failure})
    assert kinds(seen) == [*FAILS[where].split(), "Tell"]
    assert events(seen)[-1] == (3, 0, 15 | 1 << 28)
    last = NOW if where is not Ask else 0
    assert attempt.status == Status(last)
    assert attempt.last_failure == failure
    assert not attempt.is_busy


@pytest.mark.parametrize(
    ("facts", "flags"),
    [
        (Facts("1"), 0),
        (Facts("1", is_custom_server=True), 1 << 28),
        (Facts("1", is_official=False), 1 << 29),
        (Facts("1", is_resumed=lambda: True), 1 << 30),
    ],
)
def test_flags(facts, flags):
    seen = play(make(facts=facts), {Ask: Failure(34, "")})
    assert events(seen) == [(3, 0, 34 | flags)]


def test_firmware_b_is_reported_and_counts():
    """update_engine 0.4.10 tells nothing more, and has forgotten the version."""
    attempt = make()
    seen = play(attempt, {Ask: Answer(UPDATE), Run: Failure(19, "")})
    assert kinds(seen)[-3:] == ["Run", "Tell", "Finish"]
    assert events(seen)[-1] == (3, 0, 19)
    assert attempt.status == Status(NOW, 0.0, Operation.NEED_REBOOT)
    attempt = make()
    seen = play(attempt, {Ask: Answer(UPDATE), Run: Failure(19, ""), Finish: Failure(1, "")})
    assert events(seen)[-2:] == [(3, 0, 19), (3, 0, 1)]
    assert attempt.status.operation is Operation.IDLE


def test_previous_version():
    prefs = {names.PREVIOUS_VERSION: "0.9.0"}
    assert play(make(prefs), {Ask: Answer(None)})[0].previous_version == "0.9.0"
    assert prefs[names.PREVIOUS_VERSION] == ""
    assert play(make(prefs), {Ask: Answer(None)})[0].previous_version == ""
    # Nobody heard it: it is said again.
    prefs = {}
    play(make(prefs), {Ask: Failure(2000, "refused")})
    assert play(make(prefs), {Ask: Failure(2503, "busy", 503)})[0].previous_version == "0.0.0.0"
    assert play(make(prefs), {Ask: Answer(None)})[0].previous_version == ""


def test_after_a_reset_the_update_is_still_to_be_reported():
    prefs = {}
    attempt = make(prefs)
    play(attempt, {Ask: Answer(UPDATE)})
    assert attempt.reset()
    seen = play(attempt, {Ask: Answer(None)})
    assert seen[0].previous_version == ""
    assert prefs[names.PREVIOUS_VERSION] == "1.0.0"
    assert attempt.reset()  # from idle it is nothing


def test_reset_while_busy():
    attempt = make()
    attempt.begin(on_demand=False, now_s=NOW)
    assert not attempt.reset()
    assert attempt.begin(on_demand=True, now_s=NOW) is None


ROLLED_BACK = {names.PREVIOUS_VERSION: "1.0.0", names.INSTALLED_HASH: SHA}


def test_a_rollback_is_reported_once_and_waits_longer_each_time():
    prefs = dict(ROLLED_BACK)
    for days in (1, 2, 4):
        prefs |= ROLLED_BACK
        attempt = make(dict(prefs), failed_to_boot=True)  # the daemon may start several times
        prefs = attempt._prefs
        attempt = make(prefs, failed_to_boot=True)
        seen = play(attempt, {Ask: Answer(UPDATE)})
        assert seen[0] == Ask("1.0.0", 44, False)
        assert events(seen) == [(3, 9, 40)]
        assert prefs[names.ROLLBACK_EXPIRY] == str(NOW + days * DAY)
        later = play(attempt, {Ask: Answer(UPDATE)}, now_s=NOW + days * DAY - 1)
        assert (later[0].rollback_code, kinds(later)) == (0, ["Ask", "Tell"])
        assert "Fetch" in kinds(play(make(dict(prefs)), {Ask: Answer(UPDATE)}, on_demand=True))
        again = play(make(dict(prefs)), {Ask: Answer(UPDATE)}, now_s=NOW + days * DAY)
        assert "Fetch" in kinds(again)


def test_another_version_after_a_rollback_is_taken_at_once():
    attempt = make(dict(ROLLED_BACK), failed_to_boot=True)
    other = UPDATE._replace(version="2.0.1", sha256="A" * 43 + "=")
    assert "Fetch" in kinds(play(attempt, {Ask: Answer(other)}))


def test_an_update_that_was_never_tried_is_no_rollback():
    prefs = dict(ROLLED_BACK)
    seen = play(make(prefs, failed_to_boot=False), {Ask: Answer(None)})
    assert seen[0] == Ask("", 0, False)


def test_urls_take_turns_and_then_there_is_a_pause():
    prefs = {}
    attempt = make(prefs)
    bad = {Ask: Answer(UPDATE), Fetch: Failure(ErrorCode.PAYLOAD_HASH_MISMATCH, "")}
    assert play(attempt, bad)[2].url == "http://a/p"
    assert play(attempt, bad)[2].url == "http://b/p"
    assert prefs[names.ATTEMPTS] == "1"
    assert prefs[names.BACKOFF] == str(NOW + DAY)
    seen = play(attempt, bad, now_s=NOW + DAY - 1)
    assert events(seen) == [(3, 9, 40)]
    assert attempt.status.last_checked == NOW  # one that was put off does not count
    # Another offer begins anew.
    other = UPDATE._replace(version="2.0.1", size=1001)
    assert "Fetch" in kinds(play(attempt, {Ask: Answer(other)}, now_s=NOW + 1))


@pytest.mark.parametrize(
    ("attempts", "days"), [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 16), (200, 16)]
)
def test_pauses_double_up_to_16_days(attempts, days):
    update = UPDATE._replace(urls=("http://a/p",))
    prefs = {
        names.RESPONSE_SIGNATURE: response_signature(update),
        names.ATTEMPTS: str(attempts),
    }
    play(make(prefs), {Ask: Answer(update), Fetch: Failure(ErrorCode(29), "")})
    assert prefs[names.BACKOFF] == str(NOW + days * DAY)
    fuzzed = {}
    for seed in range(50):
        prefs[names.BACKOFF], prefs[names.ATTEMPTS] = "0", str(attempts)
        attempt = make(prefs, rng=random.Random(seed))
        play(attempt, {Ask: Answer(update), Fetch: Failure(ErrorCode(29), "")})
        fuzzed[seed] = int(prefs[names.BACKOFF]) - NOW - days * DAY
    assert min(fuzzed.values()) < -3600
    assert max(fuzzed.values()) > 3600
    assert all(abs(fuzz) <= 6 * 3600 for fuzz in fuzzed.values())


@pytest.mark.parametrize(
    "update",
    [UPDATE._replace(disable_backoff=True), UPDATE._replace(is_delta=True)],
    ids=["disabled", "delta"],
)
def test_who_need_not_wait(update):
    prefs = {
        names.RESPONSE_SIGNATURE: response_signature(update),
        names.BACKOFF: str(NOW + DAY),
    }
    assert "Fetch" in kinds(play(make(prefs), {Ask: Answer(update)}))


@pytest.mark.parametrize("code", [1, 9, 14, 20, 37])
def test_a_url_may_fail_some_times(code):
    update = UPDATE._replace(failures_per_url_max=3)
    prefs = {}
    attempt = make(prefs)
    for failures, index in (("1", "0"), ("2", "0"), ("0", "1"), ("1", "1")):
        play(attempt, {Ask: Answer(update), Fetch: Failure(code, "")})
        assert (prefs[names.URL_FAILURES], prefs[names.URL_INDEX]) == (failures, index)


@pytest.mark.parametrize("code", [2, 3, 4, 5, 7, 8, 13, 15, 16, 19, 30, 31, 34, 40, 42, 43])
def test_nobody_is_to_blame(code):
    prefs = {}
    play(make(prefs), {Ask: Answer(UPDATE), Fetch: Failure(code, "")})
    assert (prefs[names.URL_INDEX], prefs[names.URL_FAILURES]) == ("0", "0")


@pytest.mark.parametrize(
    "code", [10, 11, 12, 17, 18, 21, 22, 23, *range(24, 30), 32, 33, 38, 39, 45]
)
def test_the_next_url_at_once(code):
    prefs = {}
    play(make(prefs), {Ask: Answer(UPDATE), Fetch: Failure(code, "")})
    assert (prefs[names.URL_INDEX], prefs[names.URL_FAILURES]) == ("1", "0")


def test_a_server_in_trouble_counts_against_the_url_of_its_last_offer():
    prefs = {}
    attempt = make(prefs)
    away = {Ask: Failure(2404, "", 404)}
    play(attempt, away)
    assert names.URL_FAILURES not in prefs  # there was no offer yet
    play(attempt, {Ask: Answer(UPDATE), Fetch: Failure(9, "")})
    play(attempt, away)
    assert (prefs[names.URL_INDEX], prefs[names.URL_FAILURES]) == ("0", "2")
    play(attempt, {Ask: Failure(34, "")})
    assert (prefs[names.URL_INDEX], prefs[names.URL_FAILURES]) == ("0", "2")


def test_numbers_that_somebody_wrote_by_hand():
    prefs = {
        names.RESPONSE_SIGNATURE: response_signature(UPDATE),
        names.URL_INDEX: " 1 \n",
        names.URL_FAILURES: "\t8\n",
    }
    assert play(make(prefs), {Ask: Answer(UPDATE), Fetch: Failure(9, "")})[2].url == "http://b/p"
    assert prefs[names.URL_FAILURES] == "9"


def test_an_index_that_no_url_has_resets_everything():
    prefs = {
        names.RESPONSE_SIGNATURE: response_signature(UPDATE),
        names.URL_INDEX: "2",
        names.URL_FAILURES: "1",
        names.ATTEMPTS: "1",
        names.BACKOFF: str(NOW + DAY),
    }
    assert play(make(prefs), {Ask: Answer(UPDATE), Fetch: Failure(5, "")})[2].url == "http://a/p"
    numbers = (names.URL_INDEX, names.URL_FAILURES, names.ATTEMPTS, names.BACKOFF)
    assert [prefs[name] for name in numbers] == ["0"] * 4


def test_a_clock_that_was_years_ahead():
    """No pause is longer than the longest one."""
    prefs = {
        names.RESPONSE_SIGNATURE: response_signature(UPDATE),
        names.BACKOFF: str(NOW + 17 * DAY),
    }
    assert "Fetch" in kinds(play(make(dict(prefs)), {Ask: Answer(UPDATE)}))
    prefs[names.BACKOFF] = str(NOW + 16 * DAY + 6 * 3600)
    assert events(play(make(dict(prefs)), {Ask: Answer(UPDATE)})) == [(3, 9, 40)]
    prefs = {
        names.ROLLBACK_HASH: SHA,
        names.ROLLBACK_COUNT: "2",
        names.ROLLBACK_EXPIRY: str(NOW + 9999 * DAY),
    }
    assert events(play(make(prefs), {Ask: Answer(UPDATE)})) == [(3, 9, 40)]
    assert prefs[names.ROLLBACK_EXPIRY] == str(NOW + 2 * DAY)


@pytest.mark.parametrize("text", ["-1", "x", "", "9" * 30, "7"])
def test_numbers_that_somebody_changed(text):
    prefs = {
        names.RESPONSE_SIGNATURE: response_signature(UPDATE),
        names.URL_INDEX: text,
        names.URL_FAILURES: text,
        names.BACKOFF: text,
    }
    assert play(make(prefs), {Ask: Answer(UPDATE)})[2].url == "http://a/p"


def test_progress_is_announced_now_and_then():
    attempt = make({names.URL_FAILURES: "3", names.RESPONSE_SIGNATURE: response_signature(UPDATE)})
    action = attempt.begin(on_demand=False, now_s=NOW)
    while not isinstance(action, Fetch):
        action = attempt.done(Answer(UPDATE) if isinstance(action, Ask) else None, now_s=NOW)
    assert attempt.progress(0, new_bytes=0, now_s=0.0)
    assert attempt._prefs[names.URL_FAILURES] == "3"
    assert not attempt.progress(5, new_bytes=5, now_s=0.1)
    assert attempt._prefs[names.URL_FAILURES] == "0"
    assert attempt.progress(10, new_bytes=5, now_s=0.2)
    assert not attempt.progress(11, new_bytes=1, now_s=0.3)
    assert attempt.progress(12, new_bytes=1, now_s=10.3)
    assert attempt.progress(1000, new_bytes=988, now_s=10.4)
    assert attempt.status.progress == 1.0


def test_restart_from_every_point():
    """A process that ends after any action, and one that is started anew with what it left."""
    for last in range(1, 10):
        prefs = {}
        attempt = make(prefs)
        action = attempt.begin(on_demand=False, now_s=NOW)
        for _ in range(last - 1):
            if action is not None:
                action = attempt.done(
                    Answer(UPDATE) if isinstance(action, Ask) else None, now_s=NOW
                )
        seen = play(make(prefs), {Ask: Answer(UPDATE)}, on_demand=True, now_s=NOW + 2 * DAY)
        assert kinds(seen)[-5:] == ["Clear", "Write", "Run", "Finish", "Tell"]
        assert prefs[names.PREVIOUS_VERSION] == "1.0.0"


def test_the_signature_of_a_response():
    assert response_signature(UPDATE) == (
        "NumURLs = 2\nUrl0 = http://a/p\nUrl1 = http://b/p\nPayload Size = 1000\n"
        f"Payload Sha256 Hash = {SHA}\nIs Delta Payload = 0\nMax Failure Count Per Url = 10\n"
        "Disable Payload Backoff = 0\n"
    )


def test_a_ping_may_fail():
    attempt = make(needs_reboot=True)
    assert play(attempt, {Ping: Failure(9, "")}) == [Ping(False)]
    assert attempt.status == Status(operation=Operation.NEED_REBOOT)


def test_the_schedule():
    schedule = Schedule(Middle())
    assert schedule.first() == 7 * 60
    assert schedule.next(poll_interval_s=0, http_status=200) == 45 * 60
    assert schedule.next(poll_interval_s=120, http_status=200) == 45 * 60
    assert schedule.next(poll_interval_s=7200, http_status=200) == 7200
    assert schedule.next(poll_interval_s=0, http_status=200) == 45 * 60
    for minutes in (90, 180, 240, 240):
        assert schedule.next(poll_interval_s=0, http_status=503) == minutes * 60
    assert schedule.next(poll_interval_s=0, http_status=404) == 45 * 60


@pytest.mark.parametrize(
    ("poll", "low", "high"), [(0, 40 * 60, 50 * 60), (60, 40 * 60, 50 * 60), (7200, 3600, 10800)]
)
def test_the_fuzz(poll, low, high):
    found = [
        Schedule(random.Random(seed)).next(poll_interval_s=poll, http_status=200)
        for seed in range(200)
    ]
    assert low <= min(found) < low + (high - low) / 10
    assert high - (high - low) / 10 < max(found) <= high
    first = [Schedule(random.Random(seed)).first() for seed in range(200)]
    assert 120 <= min(first) < max(first) <= 720


def test_events_are_as_reported():
    assert Event(13, 1) == Event(13, 1, 0, None)
