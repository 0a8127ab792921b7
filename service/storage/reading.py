"""Queries of profiles, versions and rankings. Every method is one transaction, or one for each page that it yields."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import defer

from clpips.service.storage.breaker import Breaker, operation
from clpips.service.storage.database import Database
from clpips.service.storage.errors import ProfileMissingError, RankingMissingError, VersionMissingError
from clpips.service.storage.records import JudgedRanking, KeptRanking, Profile, Version, WeighedVersion
from clpips.service.storage.tables import WITH_CONTENT, ProfileRow, RankingRow, VersionRow

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
BYTES_WITH_CONTENT: Final = [4 * length for length in WITH_CONTENT]  # of packed weights, with any backbone
PAGE: Final = 200  # rankings read at once: some 24 MB of ten candidates each


class ProfileReader:
    """The profiles of one database, to be looked at. Methods that take a tenant see nothing of the others'."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def breaker(self) -> Breaker:
        """What its operations go through."""
        return self._database.breaker

    @operation
    async def find(self, tenant: str, name: str) -> Profile:
        """Raises `ProfileMissingError`."""
        if not NAME.fullmatch(name):  # no database has to be asked, and PostgreSQL would refuse a NUL with an error
            raise ProfileMissingError(name)
        async with self._database.read() as session:
            return found(await session.scalar(by_name(tenant, name)), name).record()

    @operation
    async def page(self, tenant: str, after: str, limit: int) -> Sequence[Profile]:
        """The tenant's profiles whose names come after `after`, by name."""
        chosen = select(ProfileRow).where(ProfileRow.tenant == tenant, ProfileRow.name > after)
        async with self._database.read() as session:
            return [row.record() for row in await session.scalars(chosen.order_by(ProfileRow.name).limit(limit))]

    @operation
    async def unlearned(self, backbone: str) -> Sequence[Profile]:
        """All tenants' profiles on this backbone that have rankings which no fit has considered."""
        behind = select(ProfileRow).where(
            ProfileRow.backbone == backbone, ProfileRow.fitted_ranking < ProfileRow.latest_ranking
        )
        async with self._database.read() as session:
            return [row.record() for row in await session.scalars(behind)]

    @operation
    async def any_uses_content(self) -> bool:
        """Whether the version in use of any tenant's profile gives weight to the content network's families."""
        long = select(VersionRow.number).where(
            VersionRow.profile_id == ProfileRow.id,
            VersionRow.number == ProfileRow.current_version,
            func.length(VersionRow.weights).in_(BYTES_WITH_CONTENT),
        )
        async with self._database.read() as session:
            return await session.scalar(select(ProfileRow.id).where(long.exists()).limit(1)) is not None

    @operation
    async def version(self, profile_id: UUID, number: int) -> WeighedVersion:
        """One version with its weights. Raises `VersionMissingError`."""
        async with self._database.read() as session:
            row = await session.get(VersionRow, (profile_id, number))
            if row is None:
                latest = select(ProfileRow.latest_version).where(ProfileRow.id == profile_id)
                raise VersionMissingError(number, await session.scalar(latest))
            return row.weighed()

    @operation
    async def versions(self, profile_id: UUID, before: int | None, limit: int) -> Sequence[Version]:
        """Versions below `before`, the newest first."""
        chosen = select(VersionRow).where(VersionRow.profile_id == profile_id)
        chosen = chosen.options(defer(VersionRow.weights, raiseload=True))
        if before is not None:
            chosen = chosen.where(VersionRow.number < before)
        async with self._database.read() as session:
            return [
                row.record() for row in await session.scalars(chosen.order_by(VersionRow.number.desc()).limit(limit))
            ]

    async def rankings(self, profile_id: UUID, last: int, page: int = PAGE) -> AsyncIterator[KeptRanking]:
        """The rankings up to number `last`, by number; a page of so many is in memory at a time.

        Those that are forgotten or replaced while they are read are left out, unless they came before.
        """
        after = 0
        while True:
            kept = await self._ranking_page(profile_id, after, last, page)
            for ranking in kept:  # nothing is held meanwhile: whoever asked may take their time, or never come back
                yield ranking
            if len(kept) < page:
                return
            after = kept[-1].number

    @operation
    async def _ranking_page(self, profile_id: UUID, after: int, last: int, page: int) -> Sequence[KeptRanking]:
        """At most so many rankings above `after`, up to `last`."""
        chosen = select(RankingRow).where(
            RankingRow.profile_id == profile_id, RankingRow.number > after, RankingRow.number <= last
        )
        async with self._database.read() as session:
            return [row.record() for row in await session.scalars(chosen.order_by(RankingRow.number).limit(page))]

    @operation
    async def beginning(self, profile_id: UUID, number: int) -> Version:
        """What the fits of a version started from: the newest before it that is no fit. Raises as `version` does."""
        chosen = select(VersionRow).where(
            VersionRow.profile_id == profile_id, VersionRow.number < number, VersionRow.origin != "fitted"
        )
        chosen = chosen.options(defer(VersionRow.weights, raiseload=True)).order_by(VersionRow.number.desc()).limit(1)
        async with self._database.read() as session:
            row = await session.scalar(chosen)
            if row is None:
                raise VersionMissingError(number, None)
            return row.record()

    @operation
    async def judged_until(self, profile_id: UUID, then: datetime) -> Sequence[JudgedRanking]:
        """The rankings that were kept by then, by number, without their channel distances."""
        chosen = judged(profile_id).where(RankingRow.created_at <= then).order_by(RankingRow.number)
        async with self._database.read() as session:
            return [row.judged() for row in await session.scalars(chosen)]

    @operation
    async def ranking(self, profile: Profile, number: int) -> JudgedRanking:
        """One of a profile's rankings, without its channel distances. Raises `RankingMissingError`."""
        if not 1 <= number <= profile.latest_ranking:  # also what no column holds
            raise RankingMissingError(number)
        async with self._database.read() as session:
            row = await session.scalar(judged(profile.id).where(RankingRow.number == number))
        if row is None:
            raise RankingMissingError(number)
        return row.judged()

    @operation
    async def ranking_of_comparison(self, profile_id: UUID, comparison: str, rater: str) -> int | None:
        """The number of the ranking that a rater's order of a comparison is; None where there is none."""
        own = (RankingRow.profile_id == profile_id, RankingRow.comparison == comparison, RankingRow.rater == rater)
        async with self._database.read() as session:
            number: int | None = await session.scalar(select(RankingRow.number).where(*own))
            return number

    @operation
    async def rankings_of(self, profile_id: UUID, target: str) -> Sequence[JudgedRanking]:
        """The rankings of one target, by number, without their channel distances."""
        asked = judged(profile_id).where(RankingRow.target == target).order_by(RankingRow.number)
        async with self._database.read() as session:
            return [row.judged() for row in await session.scalars(asked)]


def judged(profile_id: UUID) -> Select[tuple[RankingRow]]:
    """Asks for a profile's rankings without their channel distances."""
    own = select(RankingRow).where(RankingRow.profile_id == profile_id)
    return own.options(defer(RankingRow.channel_distances, raiseload=True))


def by_name(tenant: str, name: str) -> Select[tuple[ProfileRow]]:
    """Asks for the tenant's profile of that name."""
    return select(ProfileRow).where(ProfileRow.tenant == tenant, ProfileRow.name == name)


def found(row: ProfileRow | None, name: str) -> ProfileRow:
    """Raises `ProfileMissingError` where there is none."""
    if row is None:
        raise ProfileMissingError(name)
    return row
