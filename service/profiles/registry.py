"""Registry of the weights that requests can name: a cache of stored profiles, in front of it those that ship."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import UUID

import structlog

from clpips.models.metric.families import ALL_NETWORKS, Networks
from clpips.models.metric.weights import LayerWeights
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import BackboneMismatch, ContentLeftOut, Fault, ProfileExists, UnknownProfile
from clpips.service.profiles.named_weights import NamedWeights, ShippedWeights
from clpips.service.storage.errors import ProfileMissingError, StorageError, VersionMissingError
from clpips.service.storage.reading import ProfileReader

log = structlog.get_logger()

Key = tuple[str, str]  # tenant, name
PATIENCE_SECONDS: Final = 0.5  # that a request waits for the database, where weights are held to answer with


class _Held(NamedTuple):
    profile: NamedWeights
    id: UUID
    checked_at: float


class Registry:
    """Answers for a name with weights that are at most `refresh_seconds` behind the database.

    In between the answer comes from memory, where the `capacity` most recently used profiles are. When the database
    cannot be reached, or takes longer than `PATIENCE_SECONDS`, what is held goes on serving. `backbone` is the
    fingerprint of the AlexNet that the service runs, `networks` are all that it may run.
    """

    def __init__(
        self,
        shipped: ShippedWeights,
        store: ProfileReader,
        backbone: str,
        refresh_seconds: float,
        capacity: int,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
        networks: Networks = ALL_NETWORKS,
    ) -> None:
        self.shipped = shipped
        self.networks = networks
        self.backbone = backbone
        self._store = store
        self._refresh_seconds = refresh_seconds
        self._capacity = capacity
        self._lookups = telemetry.profile_lookups
        self._clock = clock
        self._held: OrderedDict[Key, _Held] = OrderedDict()  # the least recently used first
        self._flights: dict[Key, asyncio.Task[NamedWeights]] = {}
        self._begun: dict[Key, float] = {}  # when each flight began

    async def resolve(self, tenant: str, name: str) -> NamedWeights:
        """The profile that a request names. Raises `UnknownProfile`, `BackboneMismatch` or `StorageError`."""
        if name in self.shipped:
            return self.shipped[name]
        key = (tenant, name)
        held = self._held.get(key)
        if held is not None and self._clock() - held.checked_at < self._refresh_seconds:
            self._held.move_to_end(key)
            self._lookups.labels("hit").inc()
            return held.profile
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._load(key))
            flight.add_done_callback(lambda done: self._land(key, done))
            self._begun[key] = self._clock()
        if held is not None and not flight.done():
            patience = PATIENCE_SECONDS - (self._clock() - self._begun[key])
            if patience <= 0 or not (await asyncio.wait([flight], timeout=patience))[0]:
                return held.profile  # the database is slow: one finds out, and nobody waits for it
        try:
            return await asyncio.shield(flight)  # others wait for it too: one client that goes must not end it
        except (ProfileMissingError, VersionMissingError):  # the second of a profile that is deleted in between
            detail = (
                f"there is no profile {name!r}; {', '.join(self.shipped.names())} ship with the service, "
                "`GET /profiles` lists yours"
            )
            raise UnknownProfile(detail, [Fault("/profile", detail)]) from None

    def forget(self, tenant: str, name: str) -> None:
        """Drop what is held of a profile that has changed here: the next request reads it anew."""
        self._held.pop((tenant, name), None)
        self._flights.pop((tenant, name), None)  # it may have read before the change

    def require_own(self, name: str) -> None:
        """Raise `ProfileExists` where these weights ship with the service: nobody changes them."""
        if name in self.shipped:
            raise ProfileExists(
                f"{name!r} ships with the service and stays as it is; make a profile of your own with it as the parent"
            )

    def require_backbone(self, backbone: str, what: str) -> None:
        """Raise `BackboneMismatch` where `what` belongs to another backbone than the one that the service runs."""
        if backbone != self.backbone:
            raise BackboneMismatch(
                f"{what} belongs to the backbone {backbone[:12]}…, this service runs {self.backbone[:12]}…: its "
                "distances would mean nothing; serve its backbone, or teach a new profile"
            )

    def require_networks(self, weights: LayerWeights, pointer: str = "") -> None:
        """Raise `ContentLeftOut` where these weights need a network that the service does not run."""
        if weights.networks - self.networks:
            raise self.left_out(weights, pointer)

    def left_out(self, weights: LayerWeights, pointer: str = "") -> ContentLeftOut:
        """That these weights need a network that the service does not run."""
        detail = (
            f"{weights.name!r} uses the content network, which this service leaves out (CLPIPS_CONTENT=false): "
            "name weights without it, such as `lpips`, or ask whoever runs the service to take it in"
        )
        return ContentLeftOut(detail, [Fault(pointer, detail)])

    async def _load(self, key: Key) -> NamedWeights:
        started = self._clock()
        held = self._held.get(key)
        this = asyncio.current_task()
        try:
            stored = await self._store.find(*key)
            if held is not None and (held.id, held.profile.info.version) == (stored.id, stored.current_version):
                self._lookups.labels("refreshed").inc()
                profile = held.profile
            else:
                self._lookups.labels("loaded").inc()
                self.require_backbone(stored.backbone, f"the profile {stored.name!r}")
                version = await self._store.version(stored.id, stored.current_version)
                profile = NamedWeights.stored(stored, version)
            fresh = _Held(profile, stored.id, started)
        except (ProfileMissingError, VersionMissingError):
            self._held.pop(key, None)
            raise
        except StorageError as error:
            if held is None:
                raise
            log.warning("profile not refreshed, the one in memory serves on", reason=str(error))
            fresh = held._replace(checked_at=started)
        if self._flights.get(key) is this:  # nothing changed meanwhile
            self._held[key] = fresh
            self._held.move_to_end(key)
            if len(self._held) > self._capacity:
                self._held.popitem(last=False)
        return fresh.profile

    def _land(self, key: Key, flight: asyncio.Task[NamedWeights]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
            self._begun.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # whoever waits gets it; with nobody left it is no news for the log
