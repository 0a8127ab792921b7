"""Reading profiles. Every method is one transaction, or one for each page of what it yields."""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from sqlalchemy import Select, select
from sqlalchemy.orm import defer

from clpips.service.problems import ProfileNotFound, VersionNotFound
from clpips.service.storage.database import Database
from clpips.service.storage.tables import Profile, Ranking, Version

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
PAGE: Final = 200  # rankings read at once: some 5 MB of ten candidates each


class ProfileReader:
    """The profiles of one database, to be looked at. Methods that take a tenant see nothing of the others'."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant: str, name: str) -> Profile:
        """Raises `ProfileNotFound`."""
        if not NAME.fullmatch(name):  # no database has to be asked, and PostgreSQL would refuse a NUL with an error
            raise ProfileNotFound.of(name)
        async with self._database.read() as session:
            return found(await session.scalar(by_name(tenant, name)), name)

    async def page(self, tenant: str, after: str, limit: int) -> Sequence[Profile]:
        """The tenant's profiles whose names come after `after`, by name."""
        chosen = select(Profile).where(Profile.tenant == tenant, Profile.name > after)
        async with self._database.read() as session:
            return (await session.scalars(chosen.order_by(Profile.name).limit(limit))).all()

    async def unlearned(self, backbone: str) -> Sequence[Profile]:
        """All tenants' profiles on this backbone that have rankings which no fit has considered."""
        behind = select(Profile).where(Profile.backbone == backbone, Profile.fitted_ranking < Profile.latest_ranking)
        async with self._database.read() as session:
            return (await session.scalars(behind)).all()

    async def version(self, profile: Profile, number: int) -> Version:
        """One version with its weights. Raises `VersionNotFound`."""
        async with self._database.read() as session:
            version = await session.get(Version, (profile.id, number))
        if version is None:
            raise VersionNotFound.of(number, profile.latest_version)
        return version

    async def versions(self, profile: Profile, before: int | None, limit: int) -> Sequence[Version]:
        """Versions below `before`, the newest first, without their weights."""
        chosen = select(Version).where(Version.profile_id == profile.id).options(defer(Version.weights, raiseload=True))
        if before is not None:
            chosen = chosen.where(Version.number < before)
        async with self._database.read() as session:
            return (await session.scalars(chosen.order_by(Version.number.desc()).limit(limit))).all()

    async def rankings(self, profile: Profile) -> AsyncIterator[Ranking]:
        """The rankings that count, by number; a page of them is in memory at a time.

        Of several orders of the same comparison by the same rater only the newest counts: they changed their mind.
        """
        async with self._database.read() as session:
            own = select(Ranking.number, Ranking.comparison, Ranking.rater).where(
                Ranking.profile_id == profile.id,
                Ranking.number > profile.forgotten_ranking,
                Ranking.number <= profile.latest_ranking,
            )
            newest: dict[Any, int] = {}
            for number, comparison, rater in await session.execute(own.order_by(Ranking.number)):
                newest[(comparison, rater) if comparison is not None else number] = number
        numbers = sorted(newest.values())
        for start in range(0, len(numbers), PAGE):
            page = numbers[start : start + PAGE]
            async with self._database.read() as session:
                chosen = select(Ranking).where(Ranking.profile_id == profile.id, Ranking.number.in_(page))
                for ranking in (await session.scalars(chosen.order_by(Ranking.number))).all():
                    yield ranking


def by_name(tenant: str, name: str) -> Select[tuple[Profile]]:
    """Asks for the tenant's profile of that name."""
    return select(Profile).where(Profile.tenant == tenant, Profile.name == name)


def found(profile: Profile | None, name: str) -> Profile:
    """Raises `ProfileNotFound` where there is none."""
    if profile is None:
        raise ProfileNotFound.of(name)
    return profile
