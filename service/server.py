"""Server process: bind a socket, announce its address, serve until a signal, drain, stop."""

import asyncio
import gc
import math
import signal
import socket
import time
from types import FrameType
from typing import Final

import structlog
import uvicorn
from litestar import Litestar

from clpips.models.engines.contract import Engine
from clpips.service.admission.access import Access
from clpips.service.admission.binding import require_safe_binding
from clpips.service.admission.door import Door
from clpips.service.app import create_app
from clpips.service.ops.http_protocol import HttpProtocol
from clpips.service.ops.logs import configure_logging
from clpips.service.ops.memory import share_arenas
from clpips.service.ops.watchdog import EXIT_CODE, Watchdog
from clpips.service.scoring.lanes.engine_health import HealthOfAll
from clpips.service.settings import Settings, SettingsError
from clpips.service.storage.database import Database
from clpips.service.storage.errors import StorageError

KEEP_ALIVE_SECONDS: Final = 75  # longer than proxies keep idle connections (60): ours never closes under their request
BACKLOG: Final = 2048
CLOSE_SECONDS: Final = (
    5.0  # for what is left after the last answer: to close the database, to end processes and threads
)

log = structlog.get_logger()


def serve(settings: Settings, engine: Engine | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then let requests in flight finish for `shutdown_seconds` and return.

    From SIGTERM on `/readyz` and new requests get 503, and the port stays open for `drain_seconds` or until the last
    answer is given, whichever is later.

    Raises `SettingsError` where the address cannot be had, or others could reach a service without API keys, and what
    `create_app` raises. Exits with 3 where the engine fails its warm-up or the database is not ready, and with 4 where
    the engine has failed `max_engine_failures` times in a row, or something hangs: a batch for more than
    `stall_seconds`, the event loop, or the stop itself for longer than requests in flight have to finish.
    """
    share_arenas()  # before the first thread
    configure_logging(settings)
    require_safe_binding(settings, Access.from_settings(settings))
    asyncio.run(_require_database(settings.database_url))
    listener = _listen(settings.host, settings.port)
    with listener:
        app = create_app(settings, engine)
        config = uvicorn.Config(
            app,
            http=HttpProtocol,
            lifespan="on",
            ws="none",
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=settings.shutdown_seconds,
            log_config=None,
            access_log=False,
            server_header=False,
        )
        # uvicorn raises the signal that stopped it once more when it is done; with these it ends with exit code 0.
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, lambda *_: None)
        watchdog = Watchdog(app.state.running, settings.stall_seconds)
        watchdog.start()  # it watches to the very end: threads that hang would keep the interpreter from exiting
        server = _Server(config, settings, app, watchdog)
        server.run([listener])
        log.info("stopped")
    watchdog.expect_end(CLOSE_SECONDS)
    if not server.started:
        raise SystemExit(3)
    if app.state.engine_health.dead:
        raise SystemExit(EXIT_CODE)


class _Server(uvicorn.Server):
    """Says where it listens as soon as it does, and drains before it stops."""

    def __init__(self, config: uvicorn.Config, settings: Settings, app: Litestar, watchdog: Watchdog) -> None:
        super().__init__(config)
        self._watchdog = watchdog
        self._drain_seconds = settings.drain_seconds
        self._shutdown_seconds = settings.shutdown_seconds
        self._door: Door = app.state.door
        self._engine: HealthOfAll = app.state.engine_health
        self._told_to_stop: float | None = None  # when, by the monotonic clock

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._watchdog.watch_loop(asyncio.get_running_loop())
        await super().startup(sockets)
        if self.started and sockets:
            gc.collect()
            gc.freeze()  # what is there now stays; to look it all over again would stop every thread, 50 ms each time
            log.info("listening", url=(url := _url(sockets[0])), studio=f"{url}/studio")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first SIGTERM begins to drain; SIGINT, a second signal, or one before the start stops as ever."""
        if sig == signal.SIGTERM and self._told_to_stop is None and self.started:
            self._begin_to_stop()
        else:
            self._door.closed = True  # for who watches sessions, too: their streams would go on
            self._watchdog.expect_end(self._shutdown_seconds + CLOSE_SECONDS)
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._engine.dead:
            log.critical("the engine is dead; exiting for the supervisor to start the service again")
            self._begin_to_stop()
            return True
        if self._told_to_stop is not None:
            drained = time.monotonic() - self._told_to_stop
            in_time = drained < self._shutdown_seconds and (self._door or drained < self._drain_seconds)
            # What is left of the time is uvicorn's, for connections and answers that are still being sent.
            self.config.timeout_graceful_shutdown = max(math.ceil(self._shutdown_seconds - drained), 1)
            return not in_time
        return await super().on_tick(counter)

    def _begin_to_stop(self) -> None:
        self._door.closed = True
        self._told_to_stop = time.monotonic()
        self._watchdog.expect_end(self._shutdown_seconds + CLOSE_SECONDS)


async def _require_database(url: str) -> None:
    """See that the database is ready, before anything else is loaded: what is wrong is then one line.

    Raises `StorageError` for a URL of none that is served; exits with 3 where it does not answer.
    """
    database = Database(url)
    database.require_usable()
    try:
        await database.prepare()
    except StorageError as error:
        log.critical("the database is not ready", database=str(database), reason=str(error))
        raise SystemExit(3) from None
    finally:
        await database.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another with CLPIPS_HOST or CLPIPS_PORT"
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
