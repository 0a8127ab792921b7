"""The client that is awaited: the same operations as `Client`'s, from the same source."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar

import anyio.to_thread
import httpx

from clpips_client import matrices, profiles, refining, scoring, sharing
from clpips_client.connecting import address_of, headers_of
from clpips_client.core import Core, Limits
from clpips_client.local import LocalService
from clpips_client.running import LIMITS, awaited, run_async
from clpips_client.scoring import RESOLUTION
from clpips_client.sessions import AsyncSession, AsyncSharedSession
from clpips_client.steps import Flow

T = TypeVar("T")


class AsyncProfiles:
    """Operations on profiles, as `AsyncClient.profiles`."""

    def __init__(self, core: Core, http: httpx.AsyncClient) -> None:
        self.core = core
        self._http = http

    async def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        return await run_async(flow, self._http)

    create = awaited(profiles.create)
    teach = awaited(profiles.teach)
    suggest = awaited(profiles.suggest)
    get = awaited(profiles.get)
    list = awaited(profiles.list_profiles)
    fit = awaited(profiles.fit)
    rollback = awaited(profiles.rollback)
    reset = awaited(profiles.reset)
    delete = awaited(profiles.delete)
    export_weights = awaited(profiles.export_weights)
    import_weights = awaited(profiles.import_weights)
    export_rankings = awaited(profiles.export_rankings)
    get_ranking = awaited(profiles.get_ranking)
    forget_ranking = awaited(profiles.forget_ranking)


class AsyncClient:
    """A CLPIPS service, for asyncio and trio. The arguments are `Client`'s.

    Preparing images (reading files, resizing) is done on the event loop, in some milliseconds each. Cancelling a task
    closes its connection, and the service drops its work.
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        core = Core(timeout, patience, limits or Limits(), headers_of(key, headers))
        self._service: LocalService | None = None
        self._borrows = False  # the connections of another
        self._take(core, httpx.AsyncClient(base_url=address_of(address), transport=transport, limits=LIMITS))

    def _take(self, core: Core, http: httpx.AsyncClient) -> None:
        self.core = core
        self._http = http
        self.profiles = AsyncProfiles(core, http)

    @classmethod
    async def local(cls, *, timeout: float = 60.0, **settings: Any) -> "AsyncClient":  # noqa: ASYNC109 - of others
        """The service itself, in this process, as `Client.local` has it."""
        service = await anyio.to_thread.run_sync(LocalService, settings)
        try:
            transport = service.async_transport()
            client = cls(service.address, timeout=timeout, limits=service.limits, transport=transport)
        except BaseException:
            service.close()
            raise
        client._service = service
        return client

    def within(self, seconds: float) -> "AsyncClient":
        """This client with another timeout. Connections are shared, and closing it leaves them open."""
        other = object.__new__(type(self))
        other._service = None
        other._borrows = True
        other._take(self.core.within(seconds), self._http)
        return other

    async def run(self, flow: Flow[T]) -> T:
        """What an operation comes to."""
        return await run_async(flow, self._http)

    rank = awaited(scoring.rank)
    distance = awaited(scoring.distance)
    heatmap = awaited(scoring.heatmap)
    matrix = awaited(matrices.matrix)

    def session(
        self, target: Any, *, profile: str = "lpips", resolution: int | None = RESOLUTION, mask: Any = None
    ) -> AsyncSession:
        """A refinement of this target: candidates are added as they come, and all so far are ranked each time.

        `mask` is as in `rank`, and for all of them. Nothing is sent before the first candidate. Raises
        `BadImagesError` for a target or a mask that cannot be used.
        """
        return AsyncSession(refining.begin(self.core, target, profile, resolution, mask), self)

    async def share(
        self,
        target: Any,
        *,
        profile: str = "lpips",
        title: str = "",
        resolution: int | None = RESOLUTION,
        mask: Any = None,
    ) -> AsyncSharedSession:
        """A session that the service keeps: its `url` opens it in the studio, where a person orders the candidates.

        `mask` is as in `rank`, and for all of them. Raises what `rank` raises, and `ConnectionLostError` where it
        cannot be known whether it was made.
        """
        flow = sharing.create(self.core, target, profile=profile, title=title, resolution=resolution, mask=mask)
        return AsyncSharedSession(await self.run(flow), self)

    def shared(self, link: str, token: str = "") -> AsyncSharedSession:
        """The shared session of a link, or of an id with its token or its maker's key. Nothing is sent."""
        return AsyncSharedSession(sharing.opened(self.core, link, token), self)

    async def aclose(self) -> None:
        """Close the connections, and stop the service where it is this client's own."""
        if not self._borrows:
            await self._http.aclose()
        if self._service is not None:
            await anyio.to_thread.run_sync(self._service.close)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
