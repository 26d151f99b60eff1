"""The `etcd-discovery` command: the service by which new etcd clusters find their members.

Also answers to the name of the original, `discovery`. Mirrors discovery.go of
coreos/discovery.etcd.io.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING

from coreos_py.base import listenfds, sdnotify, tls
from coreos_py.cli.grammar import PFLAG, FlagError
from coreos_py.cli.program import Call, Program
from coreos_py.cli.settings import BOOL, DURATION, STRING, UINT, Setting
from coreos_py.discovery import embedded
from coreos_py.discovery.forward import Forwarder
from coreos_py.discovery.hosturl import BadURL, host_only
from coreos_py.discovery.limiter import Limiter
from coreos_py.discovery.metrics import Metrics
from coreos_py.discovery.registry import Registry
from coreos_py.discovery.service import BODY_MAX, Rules, Service
from coreos_py.etcdclient.async_client import AsyncEtcd
from coreos_py.http.accesslog import AccessLog
from coreos_py.http.aclient import AsyncHTTPClient
from coreos_py.http.listen import bind_tcp, listen, split_host_port
from coreos_py.http.server import HTTPServer, Limits

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from ssl import SSLContext

    from coreos_py.cli.settings import Values

_DRAIN_S = 0.5
_CONNECT_TIMEOUT_S = 5.0
_REQUEST_TIMEOUT_S = 5.0
_ROOT_LOG = "coreos_py.discovery"

log = logging.getLogger(__name__)

SETTINGS = (
    Setting(
        "addr", STRING, ":8087", aliases=("a",), env="DISC_ADDR", help="where to serve, HOST:PORT"
    ),
    Setting(
        "etcd",
        STRING,
        "http://127.0.0.1:2379",
        aliases=("e",),
        env="DISC_ETCD",
        help="the etcd that keeps the tokens; several, separated by commas, for failover",
    ),
    Setting(
        "host",
        STRING,
        "https://discovery.etcd.io",
        aliases=("h",),
        env="DISC_HOST",
        help="URL under which clients reach this service, put in front of tokens",
    ),
    Setting(
        "data-dir",
        STRING,
        env="DISC_DATA_DIR",
        help="keep the tokens here, in an etcd of our own, instead of in --etcd",
    ),
    Setting("cert", STRING, env="DISC_CERT", help="client certificate for an https --etcd"),
    Setting("key", STRING, env="DISC_KEY", help="its key"),
    Setting("cacert", STRING, env="DISC_CACERT", help="authorities that may sign --etcd's"),
    Setting(
        "minage",
        DURATION,
        "0s",
        aliases=("m",),
        env="DISC_MINAGE",
        help="forget a token that is still incomplete this long after its making (0: never)",
    ),
    Setting(
        "gcfreq",
        DURATION,
        "5m",
        aliases=("g",),
        env="DISC_GCFREQ",
        help="accepted for old unit files: tokens expire on time, without sweeps",
    ),
    Setting("size-max", UINT, "0", env="DISC_SIZE_MAX", help="largest cluster (0: no limit)"),
    Setting(
        "rate-limit",
        UINT,
        "0",
        env="DISC_RATE_LIMIT",
        help="new tokens a minute for one client address (0: no limit)",
    ),
    Setting(
        "trust-proxy",
        BOOL,
        env="DISC_TRUST_PROXY",
        help="take the client's address from X-Forwarded-For",
    ),
)


class Discovery(Program):
    """The command line; what is wrong with it is said first, then the flags, and 2 is the end."""

    def on_flag_error(self, call: Call, err: FlagError) -> int:
        print(err, file=sys.stderr)
        print(self.help_text(call), file=sys.stderr)
        return 2


PROGRAM = Discovery(
    "etcd-discovery",
    PFLAG,
    settings=SETTINGS,
    target="coreos_py.discovery.cmd_discovery:serve",
    help="lets the members of a new etcd cluster find each other",
)


def main(argv: list[str]) -> int:
    """Run the service in the foreground."""
    return PROGRAM.run(argv)


def serve(call: Call) -> int:
    """Serve until told to stop; the exit status."""
    _setup_logging()
    values = call.settings
    try:
        urls = [] if values["data-dir"] else [host_only(u) for u in values["etcd"].split(",")]
        host = host_only(values["host"])
    except BadURL as error:
        print(error, file=sys.stderr)
        print(PROGRAM.help_text(call), file=sys.stderr)
        return 2
    return asyncio.run(Daemon(values, urls, host).run())


class Daemon:
    """The process: sockets, signals, and the service between them."""

    def __init__(self, values: Values, urls: list[str], host: str) -> None:
        self._values = values
        self._urls = urls
        self._host = host
        self._access = AccessLog()

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT, or until the etcd inside has failed."""
        loop = asyncio.get_running_loop()
        status: asyncio.Future[int] = loop.create_future()

        def end(code: int) -> None:
            if not status.done():
                status.set_result(code)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end, 0)
        sockets = self._open()
        member = None
        if self._values["data-dir"]:
            member = await embedded.start(self._values["data-dir"], exit_with=end)
            self._urls = [member.url]
        service, close = self._service()
        http = HTTPServer(
            service.handle,
            limits=Limits(body_max=BODY_MAX, idle_timeout_s=None, body_timeout_s=None),
        )
        listeners = listen(http, sockets)
        where = self._values["data-dir"] or ",".join(self._urls)
        log.info('discovery server started with etcd "%s" and host "%s"', where, self._host)
        log.info("discovery serving on %s", ", ".join(found.address for found in listeners))
        sdnotify.notify(sdnotify.READY)
        code = await status
        sdnotify.notify(sdnotify.STOPPING)
        for listener in listeners:
            listener.close()
        await http.drain(_DRAIN_S)
        close()
        if member is not None:
            await member.stop()
        return code

    def _open(self) -> list[socket.socket]:
        """The socket that systemd passed, or our own."""
        passed = listenfds.stream_sockets()
        if passed:
            return passed
        host, port = split_host_port(self._values["addr"])
        return [bind_tcp(host, port)]

    def _service(self) -> tuple[Service, Callable[[], None]]:
        values = self._values
        context = self._context()
        etcd = AsyncEtcd(self._urls, timeout_s=_REQUEST_TIMEOUT_S, tls=context)
        client = AsyncHTTPClient(tls=context, connect_timeout_s=_CONNECT_TIMEOUT_S)
        service = Service(
            Registry(etcd, ttl_s=-(-values["minage"] // 1_000_000_000)),
            Forwarder(self._urls, client),
            Rules(self._host.rstrip("/"), values["size-max"], values["trust-proxy"]),
            limiter=Limiter(values["rate-limit"]),
            metrics=Metrics(),
            on_access=self._access.write,
        )

        def close() -> None:
            service.close()
            etcd.close()
            client.close()

        return service, close

    def _context(self) -> SSLContext | None:
        values = self._values
        if not any(url.startswith("https:") for url in self._urls):
            return None
        return tls.client_context(
            ca_file=values["cacert"], cert_file=values["cert"], key_file=values["key"]
        )


def _setup_logging() -> None:
    """Our own lines as they are; of the etcd inside only what is wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger(_ROOT_LOG).setLevel(logging.INFO)
