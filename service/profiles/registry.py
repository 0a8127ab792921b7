"""The weights that requests can name: those that ship with the project, and each tenant's own, held in memory."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

import structlog

from clpips.models.metric.weights import LayerWeights
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import BackboneMismatch, Fault, ProfileNotFound, UnknownProfile
from clpips.service.profiles.named_weights import NamedWeights, ShippedWeights
from clpips.service.storage.database import StorageError
from clpips.service.storage.profiles import unpack_weights
from clpips.service.storage.reading import ProfileReader
from clpips.service.storage.tables import Profile as StoredProfile
from clpips.service.storage.tables import Version

log = structlog.get_logger()

Key = tuple[str, str]  # tenant, name


class _Held(NamedTuple):
    profile: NamedWeights
    id: UUID
    version: int
    checked_at: float


class Registry:
    """Answers for a name with weights that are at most `refresh_seconds` behind the database.

    In between the answer comes from memory, where the `capacity` most recently used profiles are. When the database
    cannot be reached, what is held goes on serving.
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
    ) -> None:
        self.shipped = shipped
        self._store = store
        self._backbone = backbone
        self._refresh_seconds = refresh_seconds
        self._capacity = capacity
        self._lookups = telemetry.profile_lookups
        self._clock = clock
        self._held: OrderedDict[Key, _Held] = OrderedDict()  # the least recently used first
        self._flights: dict[Key, asyncio.Task[NamedWeights]] = {}

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
        try:
            return await asyncio.shield(flight)  # others wait for it too: one client that goes must not end it
        except ProfileNotFound:
            detail = (
                f"there is no profile {name!r}; {', '.join(self.shipped.names())} ship with the service, "
                "`GET /profiles` lists yours"
            )
            raise UnknownProfile(detail, [Fault("/profile", detail)]) from None

    def forget(self, tenant: str, name: str) -> None:
        """Drop what is held of a profile that has changed here: the next request reads it anew."""
        self._held.pop((tenant, name), None)
        self._flights.pop((tenant, name), None)  # it may have read before the change

    async def _load(self, key: Key) -> NamedWeights:
        started = self._clock()
        held = self._held.get(key)
        this = asyncio.current_task()
        try:
            stored = await self._store.find(*key)
            if held is not None and (held.id, held.version) == (stored.id, stored.current_version):
                self._lookups.labels("refreshed").inc()
                profile = held.profile
            else:
                self._lookups.labels("loaded").inc()
                version = await self._store.version(stored, stored.current_version)
                self._require_backbone(stored)
                profile = usable(stored, version)
            fresh = _Held(profile, stored.id, stored.current_version, started)
        except ProfileNotFound:
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
        if not flight.cancelled():
            flight.exception()  # whoever waits gets it; with nobody left it is no news for the log

    def _require_backbone(self, stored: StoredProfile) -> None:
        if stored.backbone != self._backbone:
            raise BackboneMismatch(
                f"the profile {stored.name!r} was taught on the backbone {stored.backbone[:12]}…, this service runs "
                f"{self._backbone[:12]}…: its distances would mean nothing; serve its backbone, or teach a new profile"
            )


def usable(stored: StoredProfile, version: Version) -> NamedWeights:
    """A version of a stored profile as scoring uses it."""
    return NamedWeights.of(stored.name, version.number, layer_weights(stored, version))


def layer_weights(stored: StoredProfile, version: Version) -> LayerWeights:
    """The weights of a version with their provenance, as a weights file keeps them."""
    return LayerWeights(
        unpack_weights(version.weights),
        name=stored.name,
        parent=stored.parent,
        backbone=stored.backbone,
        resolution=version.resolution,
        recipe=str(version.report.get("recipe", version.origin)),
        created=version.created_at.isoformat(timespec="seconds"),
        agreement=dict(version.report.get("agreement") or {}),
    )
