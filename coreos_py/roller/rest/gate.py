"""The gate before every request of the API: who it is, and whether they may.

Works inside the request's transaction. A session's cookie is a browser's, so its writes must come
from a page of this server; tokens and passwords are shown by programs. Whoever guesses passwords is
made to wait before another one is looked at.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NoReturn

from coreos_py.http.message import Response
from coreos_py.roller import auth
from coreos_py.roller.auth import Principal
from coreos_py.roller.call import Undo
from coreos_py.roller.db import people
from coreos_py.roller.rest.ask import ANONYMOUS, JSON, refusal, wants_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreos_py.roller.call import Call
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.records import Token, User

READS = ("GET", "HEAD")
OF_TOKEN = "token:"  # begins the user of a session that a token started; no user is called so
_CHALLENGE = ("WWW-Authenticate", 'Basic realm="rollerd"')
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


class Needs(Enum):
    """Who may make a request."""

    NOTHING = "anybody"
    READ = "viewer"  # anonymous clients too, with -anonymous-read
    SIGN_IN = "any user"
    ADMIN = "admin"


class Gate:
    """Believes requests or not. One for all threads: what it keeps is only touched in one step."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self.random = random
        self._verified = auth.Verified(random(auth.SECRET_BYTES))
        self._attempts = auth.Attempts()
        self._uses: dict[str, int] = {}

    def admit(self, tx: Tx, call: Call, needs: Needs) -> Principal:
        """Who it is; an Undo with the answer if they may not."""
        request = call.request
        if request.method not in READS:
            self._from_here(call)
        if needs is Needs.NOTHING:
            return ANONYMOUS
        who = self.principal(tx, call)
        if who is None:
            if needs is Needs.READ and call.config.anonymous_read:
                return ANONYMOUS
            self._unauthorized(call, "sign in first")
        if needs is Needs.ADMIN and who.role != auth.ADMIN:
            raise Undo(refusal(call, 403, f"{who.name} may only look"))
        return who

    def look(self, tx: Tx, call: Call) -> Response:
        """Check the password that a request has with it, so that admit() knows it at once."""
        self.principal(tx, call)
        return Response(200)

    def principal(self, tx: Tx, call: Call) -> Principal | None:
        """Who it is, None if nobody says so; an Undo if somebody does and it is not true."""
        request = call.request
        claim = auth.claim(request.get("Authorization"), request.get("Cookie"))
        if claim.how == auth.SESSION:
            return self._session(tx, call, claim.secret)
        if claim.how == auth.TOKEN:
            token = self.check_token(tx, call, claim.secret)
            return Principal(token.name, token.role, auth.TOKEN)
        if claim.how == auth.PASSWORD:
            user = self.check_password(tx, call, claim.name, claim.secret)
            return Principal(user.name, user.role, auth.PASSWORD)
        return None

    def check_password(self, tx: Tx, call: Call, name: str, password: str) -> User:
        """The user with this password; an Undo if it is another one."""
        wait_s = self._attempts.wait_s(call.peer, call.now_us)
        if wait_s:
            headers = ("Retry-After", str(wait_s))
            raise Undo(refusal(call, 429, f"too many wrong passwords, wait {wait_s} s", headers))
        is_name = name and password and "\0" not in name
        user = people.user(tx, name) if is_name else None
        if not self._verified.check(password, user.secret if user else None) or user is None:
            self._attempts.failed(call.peer, call.now_us)
            self._unauthorized(call, "the user or the password is wrong")
        return user

    def uses(self) -> dict[str, int]:
        """When tokens were used that the database does not know about yet, by their ids."""
        return dict(self._uses)

    def _session(self, tx: Tx, call: Call, secret: str) -> Principal | None:
        session = people.session(tx, auth.digest(secret), call.now_us)
        if session is None:
            return None  # it has ended: no worse than none
        if not session.user.startswith(OF_TOKEN):
            return Principal(session.user, session.role, auth.SESSION)
        token = people.token(tx, session.user.removeprefix(OF_TOKEN))
        return token and Principal(token.name, token.role, auth.TOKEN)

    def check_token(self, tx: Tx, call: Call, secret: str) -> Token:
        """The token with this secret; an Undo if there is none."""
        token = people.token_by_hash(tx, auth.digest(secret))
        if token is None:
            self._unauthorized(call, "the token is wrong")
        self._uses[token.id] = call.now_us
        return token

    def save_uses(self, tx: Tx) -> None:
        """Note when tokens were used. Reads write nothing, so the next write does it for them."""
        while self._uses:
            people.touch_token(tx, *self._uses.popitem())

    def _from_here(self, call: Call) -> None:
        """Refuse a write that another site's page, or a mere form, has made a browser send."""
        request = call.request
        cookie = auth.claim(request.get("Authorization"), request.get("Cookie"))
        by_cookie = cookie.how == auth.SESSION
        site, origin = request.get("Sec-Fetch-Site"), request.get("Origin")
        names = (request.get("Host"), call.base_url.partition("://")[2])
        hosts = [name.lower() for name in names]
        if auth.is_foreign(site, origin, hosts, by_cookie=by_cookie):
            raise Undo(refusal(call, 403, "this request comes from another site's page"))
        kind = request.get("Content-Type").partition(";")[0].strip().lower()
        if by_cookie and request.body and (not kind or kind in _FORMS):
            raise Undo(refusal(call, 415, f"the content type must be {JSON}"))

    def _unauthorized(self, call: Call, reason: str) -> NoReturn:
        """401. Our dashboard asks by itself for what CoreRoller's pages let the browser ask for."""
        request = call.request
        agent = request.get("User-Agent")
        is_browser = request.get("Sec-Fetch-Mode") or "Mozilla/" in agent
        is_old = call.config.compat and not wants_json(call)
        raise Undo(refusal(call, 401, reason, *((_CHALLENGE,) if is_old or not is_browser else ())))
