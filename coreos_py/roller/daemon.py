"""The process of rollerd: sockets, signals, threads, and what is done now and then."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import resource
import secrets
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from coreos_py.base import listenfds, sdnotify, tls
from coreos_py.http.accesslog import AccessLog
from coreos_py.http.listen import bind_tcp, listen
from coreos_py.http.message import Request, Response
from coreos_py.http.server import HTTPServer, Limits
from coreos_py.roller import omaha_api, setup
from coreos_py.roller.call import Config
from coreos_py.roller.coreupdate import table as coreupdate
from coreos_py.roller.coreupdate.family import CoreUpdate, Parts
from coreos_py.roller.coreupdate.keys import Keys
from coreos_py.roller.coreupdate.table import Door
from coreos_py.roller.coreupdate.upload import FormUploads
from coreos_py.roller.db import packages, retention, samples
from coreos_py.roller.hosting import Hosting
from coreos_py.roller.intake import Intakes
from coreos_py.roller.leftovers import Leftovers
from coreos_py.roller.locks import Doors, Locks
from coreos_py.roller.metrics import Metrics
from coreos_py.roller.pages import Pages
from coreos_py.roller.payloads import Payloads
from coreos_py.roller.rest.api import Api
from coreos_py.roller.rest.ask import too_large
from coreos_py.roller.rest.gate import Gate, Needs
from coreos_py.roller.service import Family, Rules, Service
from coreos_py.roller.stream import Stream
from coreos_py.roller.syncer import Syncer
from coreos_py.roller.upload import PackageUploads
from coreos_py.roller.web.assets import Assets
from coreos_py.roller.worker import Worker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from coreos_py.base.tls import ContextSource
    from coreos_py.roller.call import Call
    from coreos_py.roller.db.driver import Tx
    from coreos_py.roller.options import Options

BODY_MAX = 1 << 20
FILES_WANTED = 65_536
UPKEEP_S = 60.0
SWEEP_S = 3600.0
PRUNE_S = 0.1
PRUNES_MAX = 300  # in a minute
MORE = 202
_DRAIN_S = 1.0
_WORK_S = 3.0
_DISK_THREADS = 4
_IDLE_S = 600.0
# A thread that waits for the interpreter's lock asks for it this often. The loop and the database's
# thread hand over to each other for every request, and 5 ms of Python's default is a long time.
_SWITCH_S = 0.0005

log = logging.getLogger(__name__)


class Daemon:
    """One run of the server."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._metrics = Metrics()
        self._gate = Gate(secrets.token_bytes)
        self._payloads = Payloads(options.payload_dir)
        self._leftovers = Leftovers()
        self._threads = ThreadPoolExecutor(_DISK_THREADS, "roller-disk")
        self._closers: list[Callable[[], object]] = []

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; the exit status. CoreosError if it cannot begin."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        sys.setswitchinterval(_SWITCH_S)
        _allow_files()
        context = self._context()
        sockets = self._open()
        self._first_start()
        worker = Worker(
            open_writer=lambda: setup.open_database(self._options),
            open_reader=lambda: setup.open_database(self._options, read_only=True),
        )
        stream = Stream()
        service = self._service(worker, stream)
        http = self._server(worker, service, stream)
        listeners = listen(http, sockets, tls=context)
        upkeep = asyncio.create_task(self._upkeep(worker, service))
        scheme = "http" if context is None else "https"
        where = ", ".join(f"{scheme}://{listener.address}" for listener in listeners)
        log.info("rollerd serves on %s", where)
        sdnotify.notify(sdnotify.READY)
        await stop.wait()
        sdnotify.notify(sdnotify.STOPPING)
        for listener in listeners:
            listener.close()
        upkeep.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await upkeep
        for close in self._closers:
            close()
        await http.drain(_DRAIN_S)
        await worker.close(_WORK_S)
        self._threads.shutdown(wait=False, cancel_futures=True)
        return 0

    # -- the start ------

    def _open(self) -> list[socket.socket]:
        """The socket that systemd passed, or our own."""
        return listenfds.stream_sockets() or [bind_tcp(self._options.host, self._options.port)]

    def _context(self) -> ContextSource | None:
        """What makes the TLS context, anew when the files have changed; None for plain http."""
        cert, key = self._options.cert, self._options.key
        if not cert:
            return None
        return tls.ReloadingContext(
            lambda: tls.server_context(cert, key),
            (cert, key),
            complain=lambda text: log.error("%s", text),
            notice=lambda text: log.info("%s", text),
        )

    def _first_start(self) -> None:
        setup.hold(self._options.data_dir)
        password = setup.first_start(self._options)
        if password:  # at once, whatever comes between: nobody else knows it
            text = f"rollerd: user {setup.ADMIN} has the password {password} (shown only now)\n"
            sys.stderr.write(text)
        self._payloads.prepare()

    def _service(self, worker: Worker, stream: Stream) -> Service:
        options = self._options
        config = Config(
            compat=options.compat,
            anonymous_read=options.anonymous_read,
            tls=bool(options.cert),
            locks=bool(options.etcd),
            payloads=True,
            title=options.title,
        )
        access = AccessLog()

        def note(peer: str, request: Request, status: int, size: int) -> None:
            access.write(f"{peer}:", request, status, size)

        return Service(
            worker,
            Rules(options.public_url, options.trust_proxy),
            config=config,
            metrics=self._metrics,
            on_access=note if options.http_log else None,
            on_changed=stream.changed,
        )

    def _server(self, worker: Worker, service: Service, stream: Stream) -> HTTPServer:
        """The HTTP server with everything behind it."""
        options = self._options
        api = Api(self._gate)
        door = Door(self._gate, Keys(int(time.time())))
        uploads = Intakes(
            (PackageUploads(api), FormUploads(door)),
            self._payloads,
            worker,
            self._threads,
            call=service.call,
            begin=lambda request: service.begin("upload", request),
        )
        hosting = Hosting(
            self._payloads,
            self._threads,
            begin=lambda request: service.begin("payload", request),
        )
        pages = Pages(service, worker, self._gate, self._metrics, stream)
        locks = self._locks(worker, service, stream)
        others = self._coreupdate(worker, service, door)
        assets = Assets(options.static_dir)
        assets.preload()
        self._closers += [uploads.close, stream.close, others.close]
        service.serve(
            (
                Family("omaha", omaha_api.route),
                Family("payload", hosting.route),
                Family("pages", pages.route),
                Family("upload", uploads.route),
                Family("locks", pages.no_locks if locks is None else locks.route),
                Family("api", api.route),
                Family("coreupdate", others.route),
                Family("dashboard", assets.route),
            )
        )

        def body_max(request: Request) -> int:
            return options.payload_max if uploads.takes(request) else BODY_MAX

        limits = Limits(body_max=body_max, head_max=64 << 10, idle_timeout_s=_IDLE_S)
        return HTTPServer(
            service.handle, limits=limits, oversize=too_large, sink_for=uploads.sink_for
        )

    def _coreupdate(self, worker: Worker, service: Service, door: Door) -> CoreUpdate:
        """CoreUpdate's API, and the syncer that it starts."""
        options = self._options
        scheme = "https" if options.cert else "http"
        here = options.public_url or f"{scheme}://{options.host}:{options.port}"
        syncer = Syncer(
            worker,
            self._payloads,
            call=service.call,
            host_url=here if options.host_payloads else "",
        )
        if options.enable_syncer:
            rounds = asyncio.create_task(syncer.run(lambda most_s: random.uniform(0, most_s)))
            self._closers.append(rounds.cancel)
        return CoreUpdate(
            Parts(
                coreupdate.Api(door),
                door,
                worker,
                syncer,
                self._threads,
                service.call,
                lambda request: service.begin("coreupdate", request),
                options.database,
            )
        )

    def _locks(self, worker: Worker, service: Service, stream: Stream) -> Locks | None:
        if not self._options.etcd:
            return None
        locks = Locks(
            self._options.etcd,
            Doors(
                worker,
                service.call,
                lambda request: service.begin("locks", request),
                may_read=lambda tx, call: self._gate.admit(tx, call, Needs.READ),
                may_write=lambda tx, call: self._gate.admit(tx, call, Needs.ADMIN),
                changed=lambda: stream.changed({("lock", "")}),
                is_watched=lambda: stream.listeners > 0,
            ),
        )
        self._closers.append(locks.close)
        return locks

    # -- now and then ------

    async def _upkeep(self, worker: Worker, service: Service) -> None:
        """Samples for the charts, what reads left to be written, what is too old."""
        request = Request("POST", b"/", {}, 1)
        sweep_at_s = 0.0
        while True:
            await worker.run(self._tidy, service.call(request), write=True)
            for _ in range(PRUNES_MAX if self._options.keep_events_us else 0):
                call = service.call(request)
                if (await worker.run(self._prune, call, write=True)).status != MORE:
                    break
                await asyncio.sleep(PRUNE_S)  # machines go before
            if time.monotonic() > sweep_at_s:
                sweep_at_s = time.monotonic() + SWEEP_S
                await worker.run(self._sweep, service.call(request), write=False)
            await asyncio.sleep(UPKEEP_S)

    def _sweep(self, tx: Tx, _call: Call) -> Response:
        present = self._payloads.names()
        for name in self._leftovers.look(present, packages.filenames(tx)):
            log.info("payloads: no package needs %s any more, it is removed", name)
            self._payloads.remove(name)
        return Response(200)

    def _prune(self, tx: Tx, call: Call) -> Response:
        is_more = retention.prune(tx, call.now_us - self._options.keep_events_us)
        return Response(MORE if is_more else 200)

    def _tidy(self, tx: Tx, call: Call) -> Response:
        samples.take(tx, call.now_us)
        self._gate.save_uses(tx)
        return Response(200)


def _allow_files() -> None:
    """As many connections as we may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
