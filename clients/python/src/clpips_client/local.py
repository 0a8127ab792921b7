"""The service in the caller's own process: its app behind a Unix socket in a folder that nobody else can open."""

import contextlib
import socket
import tempfile
import threading
from typing import Any, Final

import httpx

from clpips_client.core import Limits
from clpips_client.running import LIMITS

HEADROOM: Final = 8 * 2**20  # bytes of a body that are no image
ERROR: Final = 40  # the least severe line that the service logs here, in numbers of `logging`
DEFAULTS: Final = {"decode_processes": 0}  # a process that may have threads of somebody else's is not forked


class LocalService:
    """A running service, until it is closed. It has an event loop and a thread of its own.

    Raises `ImportError` where `clpips` is not installed, `TypeError` for a setting that there is not, `ValueError` for
    one that cannot be used, and what its app raises where it cannot start.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        try:
            import msgspec
            import structlog
            import uvicorn
            from clpips.service.app import create_app
            from clpips.service.ops.http_protocol import HttpProtocol
            from clpips.service.settings import Settings
        except ImportError as error:
            raise ImportError(
                f"Client.local() runs the service itself, which is the package clpips, with an engine ({error}): "
                "install it beside this one, or give Client the address of a service that runs"
            ) from error
        if not structlog.is_configured():  # whoever has configured it has said what they want to see
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(ERROR))
        with contextlib.ExitStack() as made:
            folder = made.enter_context(tempfile.TemporaryDirectory(prefix="clpips-", ignore_cleanup_errors=True))
            unknown = sorted(settings.keys() - set(Settings.__struct_fields__))
            if unknown:
                raise TypeError(f"the service has no setting {', '.join(unknown)}: docs/settings.md lists them")
            values = {**DEFAULTS, "database_url": f"sqlite:///{folder}/clpips.db", **settings}
            try:
                chosen = Settings.from_environment({}, **values)
            except msgspec.ValidationError as error:
                raise ValueError(f"a setting of the service cannot be used: {error}") from error
            largest = max(chosen.max_body_bytes - HEADROOM, chosen.max_body_bytes // 2)
            listener, self._path = _listen(folder)
            made.callback(listener.close)
            app = create_app(chosen)
            self.limits = Limits(chosen.max_images, largest, app.state.together_pixels)
            self.address = "http://localhost" if self._path else "http://{}:{}".format(*listener.getsockname())
            config = uvicorn.Config(app, http=HttpProtocol, log_config=None, access_log=False, ws="none", lifespan="on")
            self._server: Any = uvicorn.Server(config)
            self._thread = threading.Thread(target=self._serve, args=[listener], name="clpips-service", daemon=True)
            self._over = threading.Event()
            self._thread.start()
            made.callback(self._stop)
            self._wait_until_started()
            self._made = made.pop_all()

    def transport(self) -> httpx.HTTPTransport:
        """What reaches it, for a client that waits."""
        return httpx.HTTPTransport(uds=self._path, limits=LIMITS)

    def async_transport(self) -> httpx.AsyncHTTPTransport:
        """What reaches it, for a client that is awaited."""
        return httpx.AsyncHTTPTransport(uds=self._path, limits=LIMITS)

    def close(self) -> None:
        """Stop it, and remove what it kept, unless `database_url` said where."""
        self._made.close()

    def _serve(self, listener: socket.socket) -> None:
        try:
            self._server.run(sockets=[listener])
        finally:
            self._over.set()

    def _wait_until_started(self) -> None:
        while not self._server.started:
            if self._over.wait(0.02):  # uvicorn sets a flag alone when it has started
                raise RuntimeError("the service stopped before it had started; its log says why")

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


def _listen(folder: str) -> tuple[socket.socket, str | None]:
    """A listening socket, and its path; where there are no Unix sockets, a port of this machine's alone."""
    if not hasattr(socket, "AF_UNIX"):
        return socket.create_server(("127.0.0.1", 0)), None
    path = f"{folder}/http.sock"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(128)
    return listener, path
