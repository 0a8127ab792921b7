"""Recent comparisons in the database, for services of several replicas: any of them can take the person's order."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import delete

from clpips.service.storage.database import Database
from clpips.service.storage.tables import Comparison

PURGE_SECONDS: Final = 60


class ComparisonStore:
    """Comparisons that all replicas on one database share."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._purged = datetime.now(UTC)

    async def put(self, comparison: Comparison) -> None:
        """Keep it; what has expired goes, now and then."""
        now = datetime.now(UTC)
        async with self._database.write() as session:
            session.add(comparison)
            if now - self._purged > timedelta(seconds=PURGE_SECONDS):
                self._purged = now
                await session.execute(delete(Comparison).where(Comparison.expires_at < now))

    async def get(self, name: str) -> Comparison | None:
        """The comparison with this id, unless it has expired."""
        async with self._database.read() as session:
            comparison = await session.get(Comparison, name)
        return comparison if comparison is not None and comparison.expires_at > datetime.now(UTC) else None
