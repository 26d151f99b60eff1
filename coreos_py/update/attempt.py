"""One attempt to update, from the question to the server to the reboot that is needed. Pure.

    action = attempt.begin(on_demand=True, now_s=...)
    while action is not None:
        action = attempt.done(perform(action), now_s=...)

There is one action at a time; what came of it is its value, or a Failure. What has to outlive the
process is in `prefs`, written before the next action begins, so that a process that is started
anew at any point goes on or begins clean:

    the payload is fetched into a spool     the other slot is untouched, and may be booted
    the whole payload is verified           only then
    the other slot is marked unbootable     nothing boots it while it is rewritten
    it is written and read back
    previous-version is remembered          so that the new version can report
    its postinst runs                       and makes it the slot to try next, once
    the completed marker is set             until the reboot

Mirrors update_engine 0.4.10's update_attempter.cc and payload_state.cc; that a version which did
not come up is reported as error 44 is flatcar's, that it is not tried again at once is ours.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from enum import StrEnum
from typing import NamedTuple, Protocol

from coreos_py.omaha import codes
from coreos_py.omaha.codes import ErrorCode, EventResult, EventType
from coreos_py.omaha.request import NEVER_UPDATED, Event
from coreos_py.omaha.response import Answer, Update
from coreos_py.update import prefs as names

DAY_S = 24 * 3600
BACKOFF_DAYS_MAX = 16
BACKOFF_FUZZ_S = 12 * 3600
_BACKOFF_MAX_S = BACKOFF_DAYS_MAX * DAY_S + BACKOFF_FUZZ_S // 2
NO_VERSION = "0.0.0"
PROGRESS_STEP = 0.01
PROGRESS_EVERY_S = 10.0


class Operation(StrEnum):
    """What update_engine says it is doing."""

    IDLE = "UPDATE_STATUS_IDLE"
    CHECKING = "UPDATE_STATUS_CHECKING_FOR_UPDATE"
    AVAILABLE = "UPDATE_STATUS_UPDATE_AVAILABLE"
    DOWNLOADING = "UPDATE_STATUS_DOWNLOADING"
    FINALIZING = "UPDATE_STATUS_FINALIZING"
    NEED_REBOOT = "UPDATE_STATUS_UPDATED_NEED_REBOOT"
    REPORTING_ERROR = "UPDATE_STATUS_REPORTING_ERROR_EVENT"


class Status(NamedTuple):
    """What is announced on D-Bus."""

    last_checked: int = 0
    progress: float = 0.0
    operation: Operation = Operation.IDLE
    new_version: str = NO_VERSION
    new_size: int = 0


class Ask(NamedTuple):
    """Ask the server for an update."""

    previous_version: str
    rollback_code: int  # 0: the version that runs is the one that should
    on_demand: bool


class Ping(NamedTuple):
    """Tell the server only that the machine lives."""

    on_demand: bool


class Tell(NamedTuple):
    """Report an event; whether it arrives makes no difference."""

    event: Event
    on_demand: bool


class Fetch(NamedTuple):
    """Fetch the payload, or what is missing of it, and verify it."""

    update: Update
    url: str


class Clear(NamedTuple):
    """Let nothing boot the other slot."""


class Write(NamedTuple):
    """Write the verified payload to the other slot and read it back."""

    update: Update


class Run(NamedTuple):
    """Run the new image's postinst, and make sure that it will be booted."""


class Finish(NamedTuple):
    """Leave the completed marker, and drop the spool."""


Action = Ask | Ping | Tell | Fetch | Clear | Write | Run | Finish


class Failure(NamedTuple):
    """An action that did not work."""

    code: int
    message: str
    http_status: int = 0


class Random(Protocol):
    """The one method of random.Random that is needed."""

    def uniform(self, a: float, b: float) -> float:
        """A number between a and b."""


class Facts(NamedTuple):
    """What does not change while an attempt runs."""

    version: str  # that is running
    is_official: bool = True
    is_custom_server: bool = False
    is_resumed: Callable[[], bool] = lambda: False


# Which URL is to blame: the next one is taken at once, or after some failures, or nobody is.
_NEXT_URL = frozenset(
    {
        *(ErrorCode.PAYLOAD_HASH_MISMATCH, ErrorCode.PAYLOAD_SIZE_MISMATCH),
        *(ErrorCode.DOWNLOAD_PAYLOAD_VERIFICATION, ErrorCode.SIGNED_PAYLOAD_EXPECTED),
        *(ErrorCode.DOWNLOAD_PAYLOAD_PUB_KEY_VERIFICATION,),
        *(ErrorCode.DOWNLOAD_INVALID_METADATA_MAGIC, ErrorCode.DOWNLOAD_MANIFEST_PARSE),
        *(ErrorCode.DOWNLOAD_SIGNATURE_MISSING_IN_MANIFEST,),
        *(ErrorCode(code) for code in range(24, 30)),
        *(ErrorCode.DOWNLOAD_INVALID_METADATA_SIZE,),
        *(ErrorCode.DOWNLOAD_INVALID_METADATA_SIGNATURE,),
        *(ErrorCode.DOWNLOAD_OPERATION_HASH_MISSING,),
        *(ErrorCode.DOWNLOAD_METADATA_SIGNATURE_MISSING,),
        *(ErrorCode.UNSUPPORTED_PAYLOAD_VERSION,),
    }
)
_COUNTED = frozenset(
    {
        *(ErrorCode.ERROR, ErrorCode.DOWNLOAD_TRANSFER_ERROR, ErrorCode.DOWNLOAD_WRITE),
        *(ErrorCode.DOWNLOAD_STATE_INITIALIZATION, ErrorCode.OMAHA_ERROR_IN_HTTP_RESPONSE),
    }
)
_DEFERRED = frozenset(
    {
        *(ErrorCode.OMAHA_UPDATE_IGNORED_PER_POLICY, ErrorCode.OMAHA_UPDATE_DEFERRED_PER_POLICY),
        *(ErrorCode.OMAHA_UPDATE_DEFERRED_FOR_BACKOFF,),
    }
)


class Attempt:
    """The machine behind update_engine; lives as long as the daemon."""

    def __init__(
        self,
        prefs: MutableMapping[str, str],
        *,
        facts: Facts,
        rng: Random,
        needs_reboot: bool = False,
        failed_to_boot: bool = False,
    ) -> None:
        self._prefs = prefs
        self.facts = facts
        self._rng = rng
        operation = Operation.NEED_REBOOT if needs_reboot else Operation.IDLE
        self.status = Status(operation=operation)
        self._on_demand = False
        self._update: Update | None = None  # the last one on offer
        self._then: Callable[[object, float], Action | None] | None = None
        self._rollback = False
        self._keeps_previous = False
        self._told_s = 0.0
        self.http_status = 0  # of the last check or download
        self.poll_interval_s = 0
        self.last_failure: Failure | None = None
        if not needs_reboot:
            self._look_back(failed_to_boot=failed_to_boot)

    # -- from outside

    @property
    def is_busy(self) -> bool:
        """An action is under way."""
        return self._then is not None

    def begin(self, *, on_demand: bool, now_s: float) -> Action | None:
        """Check for an update; None when there is something else to do."""
        if self.is_busy:
            return None
        self._on_demand = on_demand
        self.http_status = 0
        if self.status.operation is Operation.NEED_REBOOT:
            return self._expect(self._after_ping, Ping(on_demand))
        self.last_failure = None
        self.status = self.status._replace(operation=Operation.CHECKING)
        previous = self._prefs.get(names.PREVIOUS_VERSION, NEVER_UPDATED)
        # An update that is installed and was reset is still to be reported, by its new version.
        self._keeps_previous = previous == self.facts.version and not self._rollback
        if self._keeps_previous:
            previous = ""
        code = ErrorCode.ROLLBACK | self._flags() if self._rollback else 0
        return self._expect(self._after_check, Ask(previous, code, on_demand))

    def done(self, outcome: object, *, now_s: float) -> Action | None:
        """What came of the last action; the next one, or None at the end of the attempt."""
        then, self._then = self._then, None
        assert then is not None
        return then(outcome, now_s)

    def progress(self, received: int, *, new_bytes: int, now_s: float) -> bool:
        """So much of the payload is here; True when the status is worth announcing."""
        assert self._update is not None
        if new_bytes and self._number(names.URL_FAILURES):
            self._prefs[names.URL_FAILURES] = "0"
        share = received / self._update.size
        news = (
            self.status.operation is not Operation.DOWNLOADING
            or received == self._update.size
            or share - self.status.progress >= PROGRESS_STEP
            or now_s - self._told_s >= PROGRESS_EVERY_S
        )
        if news:
            self._told_s = now_s
            self.status = self.status._replace(operation=Operation.DOWNLOADING, progress=share)
        return news

    def reset(self) -> bool:
        """Forget that a reboot is needed; the caller drops the marker. False when busy."""
        if self.status.operation is Operation.IDLE:
            return True
        if self.status.operation is not Operation.NEED_REBOOT or self.is_busy:
            return False
        self.status = Status(last_checked=self.status.last_checked)
        return True

    # -- one step after the other

    def _after_ping(self, _outcome: object, _now_s: float) -> Action | None:
        return None

    def _after_check(self, outcome: object, now_s: float) -> Action | None:
        # Sent, whatever came back: later checks carry an empty previousversion.
        unsent = isinstance(outcome, Failure) and _unsent(outcome)
        if not unsent and not self._keeps_previous:
            self._prefs[names.PREVIOUS_VERSION] = ""
            self._rollback = False
        if isinstance(outcome, Failure):
            self.poll_interval_s = 0
            return self._fail(outcome, now_s)
        assert isinstance(outcome, Answer)
        self.http_status = 200
        self.poll_interval_s = outcome.poll_interval_s
        if outcome.update is None:
            self.status = self.status._replace(last_checked=int(now_s), operation=Operation.IDLE)
            return None
        self._take(outcome.update)
        if reason := self._backoff(outcome.update, now_s):
            code = ErrorCode.OMAHA_UPDATE_DEFERRED_FOR_BACKOFF
            return self._fail(Failure(code, reason), now_s)
        self.status = self.status._replace(
            last_checked=int(now_s),
            operation=Operation.AVAILABLE,
            new_version=outcome.update.version,
            new_size=outcome.update.size,
        )
        started = Event(EventType.UPDATE_DOWNLOAD_STARTED, EventResult.SUCCESS)
        return self._expect(self._after_started, Tell(started, self._on_demand))

    def _after_started(self, _outcome: object, _now_s: float) -> Action | None:
        update = self._current()
        url = update.urls[self._number(names.URL_INDEX)]
        return self._expect(self._after_fetch, Fetch(update, url))

    def _after_fetch(self, outcome: object, now_s: float) -> Action | None:
        self.status = self.status._replace(progress=0.0)
        if isinstance(outcome, Failure):
            return self._fail(outcome, now_s)
        self._attempted(now_s)
        self.status = self.status._replace(operation=Operation.FINALIZING)
        finished = Event(EventType.UPDATE_DOWNLOAD_FINISHED, EventResult.SUCCESS)
        return self._expect(self._after_finished, Tell(finished, self._on_demand))

    def _after_finished(self, _outcome: object, _now_s: float) -> Action | None:
        return self._expect(self._after_clear, Clear())

    def _after_clear(self, outcome: object, now_s: float) -> Action | None:
        if isinstance(outcome, Failure):
            return self._fail(outcome, now_s)
        return self._expect(self._after_write, Write(self._current()))

    def _after_write(self, outcome: object, now_s: float) -> Action | None:
        if isinstance(outcome, Failure):
            return self._fail(outcome, now_s)
        self._prefs[names.PREVIOUS_VERSION] = self.facts.version
        self._prefs[names.INSTALLED_HASH] = self._current().sha256
        return self._expect(self._after_run, Run())

    def _after_run(self, outcome: object, now_s: float) -> Action | None:
        if isinstance(outcome, Failure):
            if outcome.code == ErrorCode.POSTINSTALL_BOOTED_FROM_FIRMWARE_B:
                # update_engine 0.4.10 reports it, and asks for the reboot all the same.
                self._then = self._after_firmware
                return self._report(outcome)
            self._prefs[names.PREVIOUS_VERSION] = ""
            return self._fail(outcome, now_s)
        return self._finish(self._after_finish)

    def _after_firmware(self, _outcome: object, _now_s: float) -> Action | None:
        return self._finish(self._after_untold_finish)

    def _finish(self, then: Callable[[object, float], Action | None]) -> Action:
        self._prefs[names.DELTA_FAILURES] = "0"
        return self._expect(then, Finish())

    def _after_finish(self, outcome: object, now_s: float) -> Action | None:
        if isinstance(outcome, Failure):
            return self._fail(outcome, now_s)
        installed = Event(EventType.UPDATE_COMPLETE, EventResult.SUCCESS)
        return self._expect(self._after_installed, Tell(installed, self._on_demand))

    def _after_untold_finish(self, outcome: object, now_s: float) -> Action | None:
        if isinstance(outcome, Failure):
            return self._fail(outcome, now_s)
        self.status = self.status._replace(new_version=NO_VERSION, new_size=0)
        return self._after_installed(outcome, now_s)

    def _after_installed(self, _outcome: object, _now_s: float) -> Action | None:
        self.status = self.status._replace(operation=Operation.NEED_REBOOT)
        return None

    def _fail(self, failure: Failure, now_s: float) -> Action:
        self.http_status = failure.http_status
        downloading = self.status.operation in (Operation.DOWNLOADING, Operation.FINALIZING)
        if downloading and failure.code != ErrorCode.DOWNLOAD_TRANSFER_ERROR:
            count = self._number(names.DELTA_FAILURES) + 1
            self._prefs[names.DELTA_FAILURES] = str(count)
        if self._update is not None:
            self._blame(self._update, failure.code, now_s)
        self._then = self._after_report
        return self._report(failure)

    def _report(self, failure: Failure) -> Tell:
        self.last_failure = failure
        self.status = self.status._replace(operation=Operation.REPORTING_ERROR, progress=0.0)
        deferred = failure.code in _DEFERRED
        result = EventResult.UPDATE_DEFERRED if deferred else EventResult.ERROR
        event = Event(EventType.UPDATE_COMPLETE, result, failure.code | self._flags())
        return Tell(event, self._on_demand)

    def _after_report(self, _outcome: object, _now_s: float) -> Action | None:
        self.status = Status(last_checked=self.status.last_checked)
        return None

    def _expect(self, then: Callable[[object, float], Action | None], action: Action) -> Action:
        self._then = then
        return action

    # -- what is remembered

    def _current(self) -> Update:
        assert self._update is not None
        return self._update

    def _number(self, name: str) -> int:
        text = self._prefs.get(name, "0").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0

    def _flags(self) -> int:
        facts = self.facts
        return (
            (codes.FLAG_CUSTOM_SERVER if facts.is_custom_server else 0)
            | (0 if facts.is_official else codes.FLAG_TEST_IMAGE)
            | (codes.FLAG_RESUMED if facts.is_resumed() else 0)
        )

    def _look_back(self, *, failed_to_boot: bool) -> None:
        """After a start: an update was installed and this is the version before it."""
        previous = self._prefs.get(names.PREVIOUS_VERSION, "")
        if not previous or previous == NEVER_UPDATED or previous != self.facts.version:
            return
        if failed_to_boot:
            self._rollback = True
            installed = self._prefs.get(names.INSTALLED_HASH, "")
            noted = self._prefs.get(names.ROLLBACK_EXPIRY) == "0"
            if noted and self._prefs.get(names.ROLLBACK_HASH) == installed:
                return  # by an earlier start, and not reported yet
            self._prefs[names.ROLLBACK_HASH] = installed
            self._prefs[names.ROLLBACK_COUNT] = str(self._number(names.ROLLBACK_COUNT) + 1)
            self._prefs[names.ROLLBACK_EXPIRY] = "0"  # counted from the next check
        else:
            self._prefs[names.PREVIOUS_VERSION] = ""  # it was never tried

    def _take(self, update: Update) -> None:
        """An offer; what is known about another one is forgotten."""
        self._update = update
        signature = response_signature(update)
        is_known = self._prefs.get(names.RESPONSE_SIGNATURE) == signature
        if not is_known or self._number(names.URL_INDEX) >= len(update.urls):
            for name in (names.URL_INDEX, names.URL_FAILURES, names.ATTEMPTS, names.BACKOFF):
                self._prefs[name] = "0"
            self._prefs[names.RESPONSE_SIGNATURE] = signature
        if self._prefs.get(names.ROLLBACK_HASH) not in (None, "", update.sha256):
            for name in (names.ROLLBACK_HASH, names.ROLLBACK_COUNT, names.ROLLBACK_EXPIRY):
                self._prefs[name] = ""

    def _backoff(self, update: Update, now_s: float) -> str:
        """Why this update has to wait; "" when it need not."""
        if not self._on_demand and self._prefs.get(names.ROLLBACK_HASH) == update.sha256:
            count = max(1, self._number(names.ROLLBACK_COUNT))
            latest = int(now_s + min(1 << min(count - 1, 10), BACKOFF_DAYS_MAX) * DAY_S)
            expiry = min(self._number(names.ROLLBACK_EXPIRY) or latest, latest)
            self._prefs[names.ROLLBACK_EXPIRY] = str(expiry)
            if now_s < expiry:
                return f"version {update.version} did not come up; not again before {expiry}"
        if update.disable_backoff or update.is_delta or not self.facts.is_official:
            return ""
        expiry = self._number(names.BACKOFF)
        # A time further away was noted by a clock that was wrong.
        is_early = now_s < expiry <= now_s + _BACKOFF_MAX_S
        return f"backing off until {expiry}" if is_early else ""

    def _blame(self, update: Update, code: int, now_s: float) -> None:
        if code in _NEXT_URL:
            self._next_url(update, now_s)
        elif code in _COUNTED or code >= ErrorCode.OMAHA_REQUEST_HTTP_BASE:
            failures = self._number(names.URL_FAILURES) + 1
            if failures < update.failures_per_url_max:
                self._prefs[names.URL_FAILURES] = str(failures)
            else:
                self._next_url(update, now_s)

    def _next_url(self, update: Update, now_s: float) -> None:
        index = self._number(names.URL_INDEX) + 1
        if index >= len(update.urls):
            index = 0
            self._attempted(now_s)
        self._prefs[names.URL_INDEX] = str(index)
        self._prefs[names.URL_FAILURES] = "0"

    def _attempted(self, now_s: float) -> None:
        """The payload was had, or every URL was tried: the next attempt waits longer."""
        update = self._current()
        if update.is_delta:
            return
        attempts = self._number(names.ATTEMPTS) + 1
        self._prefs[names.ATTEMPTS] = str(attempts)
        if update.disable_backoff:
            self._prefs[names.BACKOFF] = "0"
            return
        days = min(1 << min(attempts - 1, 30), BACKOFF_DAYS_MAX)
        fuzz = self._rng.uniform(-BACKOFF_FUZZ_S / 2, BACKOFF_FUZZ_S / 2)
        self._prefs[names.BACKOFF] = str(int(now_s + days * DAY_S + fuzz))


def _unsent(failure: Failure) -> bool:
    """Nobody answered, so perhaps nobody heard."""
    return failure.code == ErrorCode.OMAHA_REQUEST_HTTP_BASE


def response_signature(update: Update) -> str:
    """What makes two offers the same, in update_engine 0.4.10's text."""
    urls = [f"Url{index} = {url}\n" for index, url in enumerate(update.urls)]
    return (
        f"NumURLs = {len(update.urls)}\n{''.join(urls)}"
        f"Payload Size = {update.size}\n"
        f"Payload Sha256 Hash = {update.sha256}\n"
        f"Is Delta Payload = {update.is_delta:d}\n"
        f"Max Failure Count Per Url = {update.failures_per_url_max}\n"
        f"Disable Payload Backoff = {update.disable_backoff:d}\n"
    )
