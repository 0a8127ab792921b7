"""The client that waits for its answers."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

import httpx

from clpips_client import matrices, profiles, refining, scoring, sharing
from clpips_client.connecting import address_of, headers_of
from clpips_client.core import Core, Limits
from clpips_client.local import LocalService
from clpips_client.running import LIMITS, called, run
from clpips_client.scoring import RESOLUTION
from clpips_client.sessions import Session, SharedSession
from clpips_client.steps import Flow

T = TypeVar("T")


class Profiles:
    """Operations on profiles, as `Client.profiles`."""

    def __init__(self, core: Core, http: httpx.Client) -> None:
        self.core = core
        self._http = http

    def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        return run(flow, self._http)

    create = called(profiles.create)
    teach = called(profiles.teach)
    suggest = called(profiles.suggest)
    get = called(profiles.get)
    list = called(profiles.list_profiles)
    fit = called(profiles.fit)
    rollback = called(profiles.rollback)
    reset = called(profiles.reset)
    delete = called(profiles.delete)
    export_weights = called(profiles.export_weights)
    import_weights = called(profiles.import_weights)
    export_rankings = called(profiles.export_rankings)
    get_ranking = called(profiles.get_ranking)
    forget_ranking = called(profiles.forget_ranking)


class Client:
    """A CLPIPS service. Any number of threads may share one.

    `key` is the API key; without one it is `CLPIPS_KEY`'s, if that is set, and "" sends none. `timeout` is for each
    operation, all its tries together, in seconds; `patience` is how much of it a service may take that cannot be
    reached. `transport` is httpx's, for proxies and tests.

    >>> with Client("http://localhost:8000") as client:  # doctest: +SKIP
    ...     ranking = client.rank("target.png", ["a.png", "b.jpg"])
    """

    def __init__(
        self,
        address: str = "http://localhost:8000",
        *,
        key: str | None = None,
        timeout: float = 60.0,
        patience: float | None = None,
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        core = Core(timeout, patience, limits or Limits(), headers_of(key, headers))
        self._service: LocalService | None = None
        self._borrows = False  # the connections of another
        self._take(core, httpx.Client(base_url=address_of(address), transport=transport, limits=LIMITS))

    def _take(self, core: Core, http: httpx.Client) -> None:
        self.core = core
        self._http = http
        self.profiles = Profiles(core, http)

    @classmethod
    def local(cls, *, timeout: float = 60.0, **settings: Any) -> "Client":
        """The service itself, in this process; `clpips` must be installed. It stops when the client is closed.

        `settings` are those of the service by their names without `CLPIPS_`, in small letters. Profiles are kept in
        the memory of this process unless `database_url` says where.

        Raises `ImportError` where `clpips` is not installed, `TypeError` and `ValueError` for settings, and what the
        service raises where it cannot start.
        """
        service = LocalService(settings)
        try:
            client = cls(service.address, timeout=timeout, limits=service.limits, transport=service.transport())
        except BaseException:
            service.close()
            raise
        client._service = service
        return client

    def within(self, seconds: float) -> "Client":
        """This client with another timeout. Connections are shared, and closing it leaves them open."""
        other = object.__new__(type(self))
        other._service = None
        other._borrows = True
        other._take(self.core.within(seconds), self._http)
        return other

    def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        return run(flow, self._http)

    rank = called(scoring.rank)
    distance = called(scoring.distance)
    heatmap = called(scoring.heatmap)
    matrix = called(matrices.matrix)

    def session(
        self, target: Any, *, profile: str = "lpips", resolution: int | None = RESOLUTION, mask: Any = None
    ) -> Session:
        """A refinement of this target: candidates are added as they come, and all so far are ranked each time.

        `mask` is as in `rank`, and for all of them. Nothing is sent before the first candidate. Raises
        `BadImagesError` for a target or a mask that cannot be used.
        """
        return Session(refining.begin(self.core, target, profile, resolution, mask), self)

    def share(
        self,
        target: Any,
        *,
        profile: str = "lpips",
        title: str = "",
        resolution: int | None = RESOLUTION,
        mask: Any = None,
    ) -> SharedSession:
        """A session that the service keeps: its `url` opens it in the studio, where a person orders the candidates.

        `mask` is as in `rank`, and for all of them. Raises what `rank` raises, and `ConnectionLostError` where it
        cannot be known whether it was made.
        """
        flow = sharing.create(self.core, target, profile=profile, title=title, resolution=resolution, mask=mask)
        return SharedSession(self.run(flow), self)

    def shared(self, link: str, token: str = "") -> SharedSession:
        """The shared session of a link, or of an id with its token or its maker's key. Nothing is sent."""
        return SharedSession(sharing.opened(self.core, link, token), self)

    def close(self) -> None:
        """Close the connections, and stop the service where it is this client's own."""
        if not self._borrows:
            self._http.close()
        if self._service is not None:
            self._service.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
