"""One request to CoreUpdate's API as its handlers see it, and the answers in Google's shape."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import parse_qs

from coreos_py.base import gojson, jsonload
from coreos_py.http.message import REASONS, Response
from coreos_py.omaha.coreupdate import BadRecord, Shape
from coreos_py.roller.call import Call, Undo
from coreos_py.roller.db import apps, groups
from coreos_py.roller.db.driver import Rejected
from coreos_py.roller.records import SECOND_US, App, Group, Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from coreos_py.roller.auth import Principal
    from coreos_py.roller.db.driver import Tx

ROWS_MAX = 100_000
_HEADERS = (
    ("Content-Type", "application/json"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
)
_NUMBER_MAX = 1 << 53


class Page(NamedTuple):
    """Which part of a list."""

    limit: int
    offset: int


class Ask:
    """A request whose sender may make it."""

    __slots__ = ("call", "names", "query", "who")

    def __init__(self, call: Call, names: Mapping[str, str], who: Principal) -> None:
        self.call = call
        self.names = names  # the parts of the path
        self.who = who
        self.query = parse_qs(call.request.query, keep_blank_values=True, errors="replace")

    # -- what is asked for

    def text(self, name: str) -> str:
        """The first value of the query."""
        value = self.query.get(name, [""])[0]
        if "\0" in value:
            self.refuse(400, f"{name} has a null character")
        return value

    def number(self, name: str, default: int = 0) -> int:
        """A number of the query."""
        text = self.text(name)
        return self.as_number(name, text) if text else default

    def as_number(self, name: str, text: str) -> int:
        """A number that is not negative."""
        if not (text.isascii() and text.isdigit()) or int(text[:20]) > _NUMBER_MAX:
            self.refuse(400, f"{name} must be a number, not {text[:40]!r}")
        return int(text)

    def page(self) -> Page:
        """The part of a list that `limit` and `skip` name."""
        return Page(min(self.number("limit") or ROWS_MAX, ROWS_MAX), self.number("skip"))

    def moment_us(self, name: str) -> int:
        """A time of the query in seconds; 0 where none is named."""
        return self.number(name) * SECOND_US

    def body(self, shape: Shape) -> dict[str, Any]:
        """The record in the body, with what is absent left out."""
        try:
            found = jsonload.loads(self.call.request.body or b"{}")
            record = shape.read(found)
        except BadRecord as err:
            self.refuse(400, str(err))
        except (ValueError, RecursionError):
            self.refuse(400, "the body is not JSON")
        if any("\0" in value for value in record.values() if isinstance(value, str)):
            self.refuse(400, "the body has a null character")
        return {name: value for name, value in record.items() if name in (found or {})}

    def app(self, tx: Tx, text: str = "") -> App:
        """The application that the path (or the text) names."""
        found = apps.named(tx, text or self.names["app"])
        return found or self.refuse(404, "no such app")

    def group(self, tx: Tx) -> Group:
        """The group that the path names."""
        found = find_group(tx, self.app(tx), self.names["group"])
        return found or self.refuse(404, "no such group")

    @contextmanager
    def rules(self) -> Iterator[None]:
        """What is against the rules is the client's fault."""
        try:
            yield
        except Invalid as err:
            self.refuse(409 if "already" in err.message else 400, err.message)
        except Rejected as err:
            self.refuse(400, err.message)

    def changed(self, kind: str, app_id: str = "") -> None:
        """Tell dashboards, after the commit, what they show is old."""
        self.call.changed.add((kind, app_id))

    # -- answers

    def ok(self, record: dict[str, Any]) -> Response:
        """200 with this as JSON."""
        return Response(200, _HEADERS, gojson.dumps(record).encode() + b"\n")

    def refuse(self, status: int, reason: str) -> NoReturn:
        """End the handler; whatever it wrote is taken back."""
        raise Undo(refusal(status, reason))


def find_group(tx: Tx, app: App, text: str) -> Group | None:
    """A group by its track, which is its name to machines, or by our id."""
    found = groups.by_track(tx, app.id, text) or groups.find(tx, text)
    return found if found is not None and found.app_id == app.id else None


def refusal(status: int, reason: str = "", *headers: tuple[str, str]) -> Response:
    """An error as googleapi's clients read it."""
    message = reason or REASONS[status]
    body = gojson.dumps({"error": {"code": status, "message": message}})
    return Response(status, (*_HEADERS, *headers), body.encode() + b"\n")
