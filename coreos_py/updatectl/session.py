"""What every updatectl command starts with: the server's admin API, and how a command fails.

Requests are those of google-api-go-client 0.5 with coreos/hawk-go's signature; failures are one
line in the shape of Go's log package.
"""

from __future__ import annotations

import os
import time

from coreos_py.base import gojson, jsonload
from coreos_py.base.errors import CoreosError
from coreos_py.base.tabular import tabulate
from coreos_py.http import hawk
from coreos_py.http.client import HTTPClient, TransportError
from coreos_py.http.url import escape_query, parse_endpoint
from coreos_py.omaha.coreupdate import BASE_PATH, BadRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from ssl import SSLContext
    from typing import Any

    from coreos_py.cli.program import Call
    from coreos_py.http.client import ReplyStream
    from coreos_py.http.reply import Reply
    from coreos_py.http.url import Endpoint
    from coreos_py.omaha.coreupdate import Shape

OK = 0
ERROR_API = 1
ERROR_USAGE = 2
ERROR_NO_COMMAND = 3

USER_AGENT = "google-api-go-client/0.5"
PLAIN_USER_AGENT = "Go-http-client/1.1"
_open: list[HTTPClient] = []


class Fatal(CoreosError):
    """The end of the command: one log line, exit code 1."""

    exit_code = ERROR_API


class Service:
    """The admin API of the server that the global options name."""

    def __init__(self, call: Call) -> None:
        settings = call.settings
        self.server: str = settings["server"].rstrip("/")
        self.user: str = settings["user"]
        self.key: str = settings["key"]
        self.client = http_client(call)

    def call(
        self,
        method: str,
        path: str,
        shape: Shape,
        *names: str,
        query: Iterable[tuple[str, str]] = (),
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One call; each `{}` of the path stands for one of the names. Fatal."""
        pairs = sorted([*query, ("alt", "json")])
        text = "&".join(f"{name}={escape_query(value)}" for name, value in pairs)
        headers = [("User-Agent", USER_AGENT)]
        data = b""
        if body is not None:
            headers.append(("Content-Type", "application/json"))
            data = (gojson.dumps(body) + "\n").encode()
        escaped = [escape_query(name).replace("+", "%20") for name in names]
        reply = self.send(
            method,
            BASE_PATH + path.format(*escaped) + "?" + text,
            plain=BASE_PATH + path.format(*names) + "?" + text,
            headers=headers,
            body=data,
        )
        if not 200 <= reply.status <= 299:
            raise Fatal(_api_error(reply))
        try:
            return shape.read(_document(reply))
        except BadRecord as err:
            raise Fatal(str(err)) from None

    def send(
        self,
        method: str,
        target: str,
        *,
        plain: str,
        headers: Iterable[tuple[str, str]],
        body: bytes = b"",
    ) -> Reply:
        """One signed request below the server's URL; `plain` is the target unescaped. Fatal."""
        endpoint = self.endpoint(method, target)
        signed = self.authorization(method, endpoint.path + plain, endpoint)
        try:
            return self.client.request(
                method,
                endpoint,
                endpoint.path + target,
                headers=[*headers, ("Authorization", signed)],
                body=body,
            )
        except TransportError as err:
            raise self.failed(method, target, err) from None

    def open(self, target: str) -> ReplyStream:
        """One signed GET whose answer may be long. Fatal."""
        endpoint = self.endpoint("GET", target)
        headers = [
            ("User-Agent", PLAIN_USER_AGENT),
            ("Authorization", self.authorization("GET", endpoint.path + target, endpoint)),
        ]
        try:
            return self.client.stream("GET", endpoint, endpoint.path + target, headers=headers)
        except TransportError as err:
            raise self.failed("GET", target, err) from None

    def endpoint(self, method: str, target: str) -> Endpoint:
        """Where the server is. Fatal."""
        try:
            return parse_endpoint(self.server)
        except ValueError as err:
            raise self.failed(method, target, err) from None

    def failed(self, method: str, target: str, err: Exception) -> Fatal:
        """A request without an answer, in the words of Go's HTTP client."""
        return Fatal(f'{method.capitalize()} "{self.server}{target}": {err}')

    def authorization(self, method: str, target: str, endpoint: Endpoint) -> str:
        """The Authorization header of one request: signed, or a token of rollerd's as it is.

        Nobody signs without a name, so a key alone is a token.
        """
        if self.key and not self.user:
            return f"Bearer {_one_line(self.key, 'key')}"
        return hawk.header(
            user=_one_line(self.user, "user"),
            key=self.key,
            now_s=int(time.time()),
            nonce=_nonce(),
            method=method,
            target=target,
            host=endpoint.host,
            port=str(endpoint.port),
        )


def _one_line(text: str, what: str) -> str:
    """A user's name travels in a header, between quotes."""
    if not all(" " <= char <= "~" and char not in '"\\' for char in text):
        raise Fatal(f"the {what} has a character that cannot stand in a header")
    return text


def _nonce() -> str:
    import binascii

    return binascii.b2a_base64(os.urandom(8)).decode()[:8]


def _document(reply: Reply) -> Any:
    if reply.status == 204:
        return None
    if not reply.body.strip():
        raise Fatal("EOF")
    try:
        return jsonload.loads(reply.body)
    except ValueError as err:
        raise Fatal(f"the server's answer is no JSON: {err}") from None


def _api_error(reply: Reply) -> str:
    """A refusal as googleapi.Error words it."""
    text = reply.body.decode("utf-8", "replace")
    try:
        error = jsonload.loads(reply.body)["error"]
        message, items = str(error.get("message", "")), error.get("errors") or []
        code = error.get("code") or reply.status
        details = [(str(item.get("reason", "")), str(item.get("message", ""))) for item in items]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"googleapi: got HTTP response code {reply.status} with body: {text}"
    if not message and not details:
        return f"googleapi: got HTTP response code {code} with body: {text}"
    line = f"googleapi: Error {code}: {message}"
    if not details:
        return line.strip()
    if len(details) == 1 and details[0][1] == message:
        return f"{line}, {details[0][0]}"
    more = "".join(f"Reason: {reason}, Message: {said}\n" for reason, said in details)
    return f"{line}\nMore details:\n{more}"


def http_client(call: Call) -> HTTPClient:
    """A client that is closed when the command ends."""
    client = HTTPClient(tls=lambda: tls_context(call))
    _open.append(client)
    return client


def tls_context(call: Call) -> SSLContext:
    """How https servers are checked, or not."""
    import ssl

    context = ssl.create_default_context()
    if call.settings["skip-ssl-verify"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def close_clients() -> None:
    """Close the connections of this run."""
    while _open:
        _open.pop().close()


def log(text: str) -> None:
    """One line as Go's log package writes it, on stderr."""
    import sys

    sys.stdout.flush()
    stamp = time.strftime("%Y/%m/%d %H:%M:%S")
    end = "" if text.endswith("\n") else "\n"
    sys.stderr.write(f"{stamp} {text}{end}")
    sys.stderr.flush()


def show(text: str) -> None:
    """A table; a cell ends with a tab."""
    print(tabulate(text), end="")


def new_uuid() -> str:
    """A random UUID, without the module that would import half the library."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
