"""What every fleetctl command starts from: the client, the names, the ways to say things.

On the hot path: imports nothing heavy; TLS, tunnels and the etcd driver load when asked for.
"""

from __future__ import annotations

import os
import sys

from coreos_py.base.errors import CoreosError
from coreos_py.base.gostring import quote
from coreos_py.base.unitfile import default_type, is_recognised_type, name_info
from coreos_py.fleet.ctl.client import REQUEST_TIMEOUT_S, APIError, Client
from coreos_py.fleet.gomatch import matches
from coreos_py.http.client import HTTPClient
from coreos_py.http.url import parse_endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from typing import Any

    from coreos_py.cli.program import Call
    from coreos_py.cli.settings import Values
    from coreos_py.fleet.ctl.client import Machine, Unit

MACHINE_ID_PATH = "/etc/machine-id"
# More units than this are asked for with one list.
SINGLE_READS = 6
_HEX = "0123456789abcdefABCDEF"


class Fatal(CoreosError):
    """Ends the command with one line on stderr."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Session:
    """One run of a command."""

    def __init__(self, call: Call) -> None:
        self.settings = call.settings
        self.flags = call.flags
        self.args = call.args
        self.dash = call.dash
        self.command = call.path[-1].name
        self.is_debug: bool = call.settings["debug"]
        debug = self.debug if self.is_debug else None
        self.client = make_client(call.settings, warn=self.warn, debug=debug)
        self._machines: dict[str, Machine] | None = None
        self._templates: dict[str, Unit | None] = {}
        self._told: set[str] = set()

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def flag(self, name: str) -> Any:
        """Return a flag of the command; None when the command has no such flag."""
        if name not in self.flags:
            return None
        return self.flags[name]

    def lookup(self, names: Iterable[str], *, fresh: bool = False) -> dict[str, Unit]:
        """Return those of the units that exist; many are asked for with one list."""
        wanted = list(dict.fromkeys(names))
        if len(wanted) > SINGLE_READS:
            known = {unit.name: unit for unit in self.client.units()}
            return {name: known[name] for name in wanted if name in known}
        found = {name: self.client.unit(name, fresh=fresh) for name in wanted}
        return {name: unit for name, unit in found.items() if unit is not None}

    def expand_globs(self, *, skip_inactive: bool = False) -> None:
        """Replace globs among the arguments by the units of the cluster they match.

        No unit's name has a star in it, so nothing that fleetctl 1.0.0 does is lost. Templates are
        not matched; a glob that matches nothing stays.
        """
        if not any(map(is_glob, self.args)):
            return
        units = [unit for unit in self.client.units() if not _is_template(unit.name)]
        if skip_inactive:
            units = [unit for unit in units if unit.is_global or unit.current_state != "inactive"]
        words = []
        for word in self.args:
            pattern = unit_name(word)
            matching = [unit.name for unit in units if matches(pattern, unit.name)]
            words += matching if is_glob(word) and matching else [word]
        self.args = list(dict.fromkeys(words))

    def template(self, name: str) -> Unit | None:
        """Return a template of the registry, asked for once."""
        if name not in self._templates:
            self._templates[name] = self.client.unit(name)
        return self._templates[name]

    def machine(self, machine_id: str) -> Machine | None:
        """Return a machine from the list as it was when first needed."""
        if self._machines is None:
            try:
                self._machines = {machine.id: machine for machine in self.client.machines()}
            except APIError:
                return None
        return self._machines.get(machine_id)

    def legend(self, machine_id: str, *, full: bool) -> str:
        """Return a machine as tables show it: ID/IP."""
        machine = self.machine(machine_id)
        name = id_legend(machine_id, full=full)
        return f"{name}/{machine.ip}" if machine is not None and machine.ip else name

    def is_news(self, what: str) -> bool:
        """Tell whether this is the first time it is asked about that."""
        is_new = what not in self._told
        self._told.add(what)
        return is_new

    def debug(self, text: str) -> None:
        """Tell a step, when asked to."""
        if self.is_debug:
            _log("DEBUG", text)

    def warn(self, text: str) -> None:
        """Log a warning."""
        _log("WARN", text)

    def info(self, text: str) -> None:
        """Log something."""
        _log("INFO", text)


def command(run: Callable[[Session], int]) -> Callable[[Call], int]:
    """Make a command of a function that works in a session."""

    def entry(call: Call) -> int:
        session = Session(call)
        try:
            return run(session)
        finally:
            session.close()

    entry.__doc__ = run.__doc__
    return entry


def out(text: str) -> None:
    """Print a line on stdout."""
    sys.stdout.write(f"{text}\n")


def complain(text: str) -> None:
    """Print a line on stderr, after everything that stdout got before."""
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def id_legend(machine_id: str, *, full: bool) -> str:
    """Return the ID, or its first eight characters and dots."""
    return machine_id if full else f"{machine_id[:8]}..."


def base_name(path: str) -> str:
    """Return the last component as Go's path.Base does."""
    stripped = path.rstrip("/")
    if not stripped:
        return "/" if path else "."
    return stripped.rpartition("/")[2]


def unit_name(argument: str) -> str:
    """Return the unit that an argument means: a path's last part, .service added if need be."""
    return with_type(base_name(argument))


def with_type(argument: str) -> str:
    """Append .service unless there is a suffix that fleet recognises."""
    return argument if is_recognised_type(argument) else default_type(argument)


def is_glob(word: str) -> bool:
    """Tell whether the word has characters of globs; a backslash may stand in a unit's name."""
    return any(char in word for char in "*?[")


def _is_template(name: str) -> bool:
    info = name_info(name)
    return info is not None and info.is_template


def go_list(words: list[str]) -> str:
    """Return a list as Go prints it."""
    return f"[{' '.join(words)}]"


def is_local(machine_id: str) -> bool:
    """Tell whether the machine is the one this runs on."""
    try:
        with open(MACHINE_ID_PATH, encoding="ascii", errors="replace") as file:
            return file.read().strip() == machine_id
    except OSError:
        return False


def make_client(
    settings: Values,
    *,
    warn: Callable[[str], None],
    debug: Callable[[str], None] | None = None,
) -> Client:
    """Return the client that --driver, --endpoint and --tunnel ask for."""
    driver = settings["driver"]
    if driver == "etcd":
        from coreos_py.fleet.ctl.etcd_driver import make_etcd_client

        return make_etcd_client(settings)
    if driver != "API":
        raise Fatal(f"Unable to initialize client: unrecognized driver {quote(driver)}")
    first, *others = settings["endpoint"].split(",")
    if others:
        warn(f"multiple endpoints provided but only the first ({first}) is used")
    try:
        return _api_client(settings, first, debug)
    except (ValueError, CoreosError) as err:
        raise Fatal(f"Unable to initialize client: {err}") from None


def _api_client(settings: Values, url: str, debug: Callable[[str], None] | None) -> Client:
    scheme, mark, rest = url.partition("://")
    if not mark:
        _check_escapes(url)
        raise ValueError("URL scheme undefined")
    _check_tls_files(settings)
    shown = "domain-sock"
    if scheme in ("unix", "file"):
        host, slash, path = rest.partition("/")
        if host or not slash:
            raise ValueError(f"unable to connect to host {quote(host)} with scheme {quote(scheme)}")
        endpoint = parse_endpoint(f"unix:///{path}")
    else:
        endpoint = parse_endpoint(url)
        shown = rest.partition("/")[0].rpartition("@")[2]
    if settings["tunnel"]:
        from coreos_py.fleet.ctl.remote import TunnelledClient

        http: HTTPClient = TunnelledClient(settings)
    else:
        http = HTTPClient(tls=lambda: tls_context(settings))
    is_asked_for = settings.origin("request-timeout") != "default"
    timeout_s = settings["request-timeout"] if is_asked_for else REQUEST_TIMEOUT_S
    return Client(endpoint, http=http, shown_host=shown, timeout_s=timeout_s, debug=debug)


def _check_escapes(url: str) -> None:
    for start in range(len(url)):
        triple = url[start : start + 3]
        if triple[0] == "%" and not (len(triple) == 3 and set(triple[1:]) <= set(_HEX)):
            raise ValueError(f'parse {quote(url)}: invalid URL escape "{triple}"')


def _check_tls_files(settings: Values) -> None:
    for name in ("ca-file", "cert-file", "key-file"):
        path = settings[name]
        try:
            if path:
                open(path, "rb").close()
        except OSError as err:
            raise ValueError(f"open {path}: {(err.strerror or str(err)).lower()}") from None


def tls_context(settings: Values) -> ssl.SSLContext:
    """Return the TLS context of the file settings, or of their deprecated names."""
    from coreos_py.base.tls import client_context

    return client_context(
        ca_file=settings["ca-file"] or settings["etcd-cafile"],
        cert_file=settings["cert-file"] or settings["etcd-certfile"],
        key_file=settings["key-file"] or settings["etcd-keyfile"],
    )


def _log(level: str, text: str) -> None:
    from time import localtime, strftime

    frame = sys._getframe(2)
    where = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
    complain(f"{strftime('%Y/%m/%d %H:%M:%S', localtime())} {level} {where}: {text}")
