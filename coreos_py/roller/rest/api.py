"""The family of /api: from a request to its handler, by way of the gate.

Mirrors cmd/rollerd of CoreRoller, where whoever is not known learns nothing, not even which routes
there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreos_py.http.message import Response
from coreos_py.roller import auth
from coreos_py.roller.call import LookFirst, Undo
from coreos_py.roller.db import packages
from coreos_py.roller.records import Invalid
from coreos_py.roller.rest import session, shapes, table
from coreos_py.roller.rest.ask import ANONYMOUS, Ask, refusal, wants_json
from coreos_py.roller.rest.gate import READS, Gate, Needs
from coreos_py.roller.rest.packages import named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from coreos_py.http.message import Request
    from coreos_py.roller.call import Call, Handler
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.records import Package
    from coreos_py.roller.rest.table import Route

PREFIX = "/api/"
_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)


class Api:
    """The routes of the table behind one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def route(self, request: Request) -> Handler | LookFirst | None:
        """The handler of a request below /api/."""
        if not request.path.startswith(PREFIX):
            return None
        found = table.find(request.path)
        if found is None:
            return self._nothing({})
        route = found.routes.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            return self._nothing(found.routes)
        if request.method in READS:
            return self._handler(route, found.params)
        return self._write(route, found.params, request)

    def _write(
        self, route: Route, params: Mapping[str, str], request: Request
    ) -> Handler | LookFirst:
        """The handler of a write; a password is checked before, out of the writer's way."""
        handler = self._handler(route, params)
        if route.action is session.sign_in:
            gate = self._gate
            return LookFirst(
                lambda tx, call: session.look(tx, Ask(call, {}, ANONYMOUS, gate)), handler
            )
        claim = auth.claim(request.get("Authorization"), "")
        return LookFirst(self._gate.look, handler) if claim.how == auth.PASSWORD else handler

    def _handler(self, route: Route, params: Mapping[str, str]) -> Handler:
        action = route.action
        assert action is not None

        def handle(tx: Tx, call: Call) -> Response:
            who = self._gate.admit(tx, call, route.needs)
            answer = action(tx, Ask(call, params, who, self._gate))
            if call.request.method not in READS:
                self._gate.save_uses(tx)
            return answer

        return handle

    def _nothing(self, routes: Mapping[str, Route]) -> Handler:
        """No such path, or not with this method."""

        def handle(tx: Tx, call: Call) -> Response:
            self._gate.admit(tx, call, Needs.READ)
            allow = ("Allow", ", ".join(_methods(routes)))
            if routes and call.request.method == "OPTIONS":
                return Response(200, (*_TEXT, allow))
            if routes and wants_json(call):
                return refusal(call, 405, f"{call.request.method} is not for this path", allow)
            if wants_json(call):
                return refusal(call, 404, "there is nothing at this path")
            return Response(404, _TEXT, b"404 page not found\n")

        return handle

    # -- for uploads, which arrive piece by piece ------

    def target(self, tx: Tx, call: Call, *, app: str, package: str) -> Package:
        """The package whose payload the sender may replace."""
        ask = self._ask(tx, call, {"app": app, "package": package})
        return ask.found("package", named(tx, ask))

    def filled(self, tx: Tx, call: Call, package: Package) -> Response:
        """Keep a package that has a payload now."""
        ask = self._ask(tx, call, {})
        try:
            packages.update(tx, package)
        except Invalid as error:
            raise Undo(refusal(call, 400, error.message)) from None
        return ask.ok(shapes.package(package))

    def _ask(self, tx: Tx, call: Call, params: Mapping[str, str]) -> Ask:
        return Ask(call, params, self._gate.admit(tx, call, Needs.ADMIN), self._gate)


def _methods(routes: Mapping[str, Route]) -> list[str]:
    """As goji lists them."""
    heads = ["HEAD"] if "GET" in routes else []
    return [*sorted((*routes, *heads)), "OPTIONS"]
