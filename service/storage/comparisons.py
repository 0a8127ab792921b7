"""Shared store of recent comparisons, for services of several replicas: any of them can take the person's order."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete

from clpips.service.storage.breaker import Breaker, operation
from clpips.service.storage.database import Database
from clpips.service.storage.records import Comparison
from clpips.service.storage.tables import ComparisonRow, pack_channel_distances, utc_now

SHARE_SECONDS: Final = 1.0  # the longest that an answer waits for the database to take its comparison
PURGE_INTERVAL: Final = timedelta(seconds=60)


class ComparisonStore:
    """Comparisons that all replicas on one database share, each for `ttl` seconds."""

    def __init__(self, database: Database, ttl: int, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._ttl = timedelta(seconds=ttl)
        self._clock = clock
        self._purged = clock()

    @property
    def breaker(self) -> Breaker:
        """What its operations go through."""
        return self._database.breaker

    async def put(self, name: str, comparison: Comparison) -> None:
        """Keep it under this id, within `SHARE_SECONDS`; what has expired goes, now and then. Raises `StorageError`."""
        await self.breaker.run("put", lambda: self._put(name, comparison), SHARE_SECONDS)

    async def _put(self, name: str, comparison: Comparison) -> None:
        now = self._clock()
        row = ComparisonRow(
            id=name,
            tenant=comparison.tenant,
            channel_distances=pack_channel_distances(comparison.channel_distances),
            target=comparison.target,
            candidates=list(comparison.candidates),
            resolution=comparison.resolution,
            backbone=comparison.backbone,
            masked=comparison.masked,
            expires_at=now + self._ttl,
        )
        async with self._database.write(waits=False) as session:
            session.add(row)
            if now - self._purged > PURGE_INTERVAL:
                self._purged = now
                await session.execute(delete(ComparisonRow).where(ComparisonRow.expires_at < now))

    @operation
    async def get(self, name: str) -> Comparison | None:
        """The comparison with this id, unless it has expired."""
        async with self._database.read() as session:
            row = await session.get(ComparisonRow, name)
            return row.record() if row is not None and row.expires_at > self._clock() else None
