"""One serving process: bind, announce, serve until told to stop."""

import signal
import socket
from typing import Final

import structlog
import uvicorn

from models.engines import Engine
from service.app import create_app
from service.logs import configure_logging
from service.settings import Settings, SettingsError

KEEP_ALIVE_SECONDS: Final = 75  # above the 60 of the usual proxies: the proxy closes idle connections, not we under it
BACKLOG: Final = 2048

log = structlog.get_logger()


def serve(settings: Settings, engine: Engine | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then let requests in flight finish for `shutdown_seconds` and return.

    Raises `SettingsError` where the address cannot be had, and what `create_app` raises. Exits with 3 where the engine
    fails its warm-up.
    """
    configure_logging(settings)
    listener = _listen(settings.host, settings.port)
    with listener:
        config = uvicorn.Config(
            create_app(settings, engine),
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
        server = _Server(config)
        server.run([listener])
        log.info("stopped")
    if not server.started:
        raise SystemExit(3)


class _Server(uvicorn.Server):
    """Says where it listens as soon as it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            log.info("listening", url=_url(sockets[0]))


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
