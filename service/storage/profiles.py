"""Transactions that change profiles. Every method is one, and needs nothing but what it is given."""

from typing import Final
from uuid import UUID

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from clpips.service.storage.breaker import operation
from clpips.service.storage.database import Database
from clpips.service.storage.errors import (
    NameTakenError,
    QuotaReachedError,
    RankingMissingError,
    VersionMissingError,
    VersionSupersededError,
)
from clpips.service.storage.reading import ProfileReader, by_name, found, judged
from clpips.service.storage.records import NewRanking, NewVersion, Profile, Receipt, TenantQuota, Version
from clpips.service.storage.tables import (
    ProfileRow,
    RankingRow,
    TenantRow,
    VersionRow,
    pack_channel_distances,
    pack_weights,
)

UNTAUGHT: Final = dict.fromkeys(  # the counters of a profile that is about to get its first version
    ("latest_version", "rankings", "latest_ranking", "fitted_ranking", "epoch"), 0
)


class ProfileStore(ProfileReader):
    """The profiles of one database, to be looked at and changed, within the quota of each tenant."""

    def __init__(self, database: Database, quota: TenantQuota) -> None:
        super().__init__(database)
        self._quota = quota

    @operation
    async def create(self, tenant: str, name: str, parent: str, backbone: str, first: NewVersion) -> Profile:
        """A new profile whose version 1 is `first`. Raises `NameTakenError` or `QuotaReachedError`."""
        async with self._database.write() as session:
            owner = await lock_tenant(session, tenant)
            if await session.scalar(by_name(tenant, name)) is not None:
                raise NameTakenError(name)
            if owner.profiles >= self._quota.profiles:
                raise QuotaReachedError(owner.profiles, "profiles")
            owner.profiles += 1
            profile = ProfileRow(
                tenant=tenant,
                name=name,
                parent=parent,
                backbone=backbone,
                base_version=1,
                current_version=1,
                waiting=None,
                **UNTAUGHT,
            )
            session.add(profile)
            await session.flush()  # a version refers to it
            _add_version(session, profile, first, taken=True)
        return profile.record()

    @operation
    async def add_ranking(self, tenant: str, name: str, ranking: NewRanking) -> Receipt:
        """Keep a ranking. Raises `ProfileMissingError` or `QuotaReachedError`.

        Of one comparison a rater's newest order counts alone: another one replaces it, which is removed. The same one
        is the same ranking, sent again because its answer was lost.
        """
        async with self._database.write() as session:
            owner, profile = await _locked_with_owner(session, tenant, name)
            replaced = await _order_of(session, profile, ranking)
            if replaced is not None and _says_the_same(replaced, ranking):
                return Receipt(profile.record(), replaced.number, replaced.guessed, repeated=True)
            if replaced is not None:
                await _remove_ranking(session, owner, profile, replaced.number)
            if owner.rankings >= self._quota.rankings:
                raise QuotaReachedError(owner.rankings, "rankings")
            owner.rankings += 1
            profile.rankings += 1
            profile.latest_ranking += 1
            session.add(
                RankingRow(
                    profile_id=profile.id,
                    number=profile.latest_ranking,
                    channel_distances=pack_channel_distances(ranking.channel_distances),
                    ranks=list(ranking.ranks),
                    rater=ranking.rater,
                    comparison=ranking.comparison,
                    target=ranking.target,
                    candidates=list(ranking.candidates),
                    resolution=ranking.resolution,
                    guessed=ranking.guessed,
                )
            )
        return Receipt(profile.record(), profile.latest_ranking, ranking.guessed, repeated=False)

    @operation
    async def forget_ranking(self, tenant: str, name: str, number: int) -> Profile:
        """Remove a ranking; where the version in use learned from it, the one that fits start from is used at once.

        Raises `ProfileMissingError` or `RankingMissingError`.
        """
        async with self._database.write() as session:
            owner, profile = await _locked_with_owner(session, tenant, name)
            await _remove_ranking(session, owner, profile, number)
            await _leave_superseded(session, profile)
            if not profile.rankings:  # nothing is left to fit
                profile.fitted_ranking = profile.latest_ranking
                profile.waiting = None
        return profile.record()

    @operation
    async def add_fitted(
        self, seen: Profile, version: NewVersion | None, reason: str, *, taken: bool, again: bool
    ) -> tuple[Profile, Version | None] | None:
        """Keep what came of a fit to the profile as `seen`, and take it into use if `taken`; `reason` says why, or not.

        None, and nothing is kept, where the fit has been overtaken: another replica has fitted as many rankings
        (`again` says that this does not matter, for a fit that was asked for), or a ranking has been forgotten or
        replaced, or the profile has been reset, rolled back or imported into meanwhile. Without a `version` it is noted
        alone that these rankings gave none. Where it is not taken, and the version in use learned from a ranking that
        has been replaced, the one that fits start from is used. Raises `ProfileMissingError` where it is deleted.
        """
        async with self._database.write() as session:
            profile = found(await session.get(ProfileRow, seen.id, with_for_update=True), seen.name)
            if profile.epoch != seen.epoch or profile.fitted_ranking > seen.latest_ranking:
                return None
            if profile.fitted_ranking == seen.latest_ranking and not again:
                return None
            added = None
            if version is not None:
                added = _add_version(session, profile, version, taken=taken, seen=seen.latest_ranking)
            if added is None or not taken:
                await _leave_superseded(session, profile)
            profile.fitted_ranking = seen.latest_ranking
            profile.waiting = None if added is not None and taken else reason
        return profile.record(), None if added is None else added.record()

    @operation
    async def import_version(self, tenant: str, name: str, version: NewVersion) -> Profile:
        """Take imported weights into use; later fits start from them. Raises `ProfileMissingError`."""
        async with self._database.write() as session:
            profile = await _locked(session, tenant, name)
            profile.base_version = _add_version(session, profile, version, taken=True).number
            profile.waiting = None
            profile.epoch += 1
        return profile.record()

    @operation
    async def rollback(self, tenant: str, name: str, number: int) -> Profile:
        """Use version `number` again.

        Raises `ProfileMissingError`, `VersionMissingError`, or `VersionSupersededError`.
        """
        async with self._database.write() as session:
            profile = await _locked(session, tenant, name)
            if not 1 <= number <= profile.latest_version:  # versions are never deleted alone
                raise VersionMissingError(number, profile.latest_version)
            if await _is_superseded(session, profile, number):
                raise VersionSupersededError(number)
            profile.current_version = number
            profile.waiting = None
            profile.epoch += 1
        return profile.record()

    @operation
    async def reset(self, tenant: str, name: str) -> Profile:
        """Begin again with the weights of version 1, as a new version; the rankings so far are removed.

        Raises `ProfileMissingError`.
        """
        async with self._database.write() as session:
            owner, profile = await _locked_with_owner(session, tenant, name)
            first = (await session.get_one(VersionRow, (profile.id, 1))).weighed()
            owner.rankings -= await _removed(session, RankingRow, profile.id)
            profile.rankings = 0
            profile.fitted_ranking = profile.latest_ranking
            profile.waiting = None
            kept = {name: first.report[name] for name in ("trained_on",) if name in first.report}
            again = NewVersion(first.weights, "reset", first.resolution, kept)
            profile.base_version = _add_version(session, profile, again, taken=True).number
            profile.epoch += 1
        return profile.record()

    @operation
    async def delete(self, tenant: str, name: str) -> tuple[int, int]:
        """Remove a profile with all it has; how many versions and rankings that were. Raises `ProfileMissingError`."""
        async with self._database.write() as session:
            owner, profile = await _locked_with_owner(session, tenant, name)
            versions, rankings = [await _removed(session, table, profile.id) for table in (VersionRow, RankingRow)]
            await session.execute(delete(ProfileRow).where(ProfileRow.id == profile.id))
            owner.profiles -= 1
            owner.rankings -= rankings
        return versions, rankings


async def _locked(session: AsyncSession, tenant: str, name: str) -> ProfileRow:
    """The profile's row, locked. Raises `ProfileMissingError`."""
    return found(await session.scalar(by_name(tenant, name).with_for_update()), name)


async def _locked_with_owner(session: AsyncSession, tenant: str, name: str) -> tuple[TenantRow, ProfileRow]:
    """The rows of a tenant and of its profile, locked in this order. Raises `ProfileMissingError`."""
    owner = await session.get(TenantRow, tenant, with_for_update=True)
    profile = await _locked(session, tenant, name)
    assert owner is not None  # noqa: S101 - a profile refers to its tenant
    return owner, profile


async def lock_tenant(session: AsyncSession, name: str) -> TenantRow:
    """The tenant's row, locked; made on first use."""
    tenant = await session.get(TenantRow, name, with_for_update=True)
    if tenant is None:
        try:
            async with session.begin_nested():
                tenant = TenantRow(name=name, profiles=0, rankings=0)
                session.add(tenant)
        except IntegrityError:  # another replica was first
            tenant = await session.get_one(TenantRow, name, with_for_update=True)
    return tenant


async def _order_of(session: AsyncSession, profile: ProfileRow, ranking: NewRanking) -> RankingRow | None:
    """The ranking of the same comparison by the same rater, without its channel distances."""
    if ranking.comparison is None:
        return None
    orders = judged(profile.id).where(RankingRow.comparison == ranking.comparison, RankingRow.rater == ranking.rater)
    kept: RankingRow | None = await session.scalar(orders)
    return kept


def _says_the_same(kept: RankingRow, ranking: NewRanking) -> bool:
    # Of a session's candidates another order may name others.
    return kept.ranks == list(ranking.ranks) and kept.candidates == list(ranking.candidates)


async def _remove_ranking(session: AsyncSession, owner: TenantRow, profile: ProfileRow, number: int) -> None:
    """Remove a ranking of a profile whose row is locked; what learned from it is superseded, fits begin again.

    Raises `RankingMissingError`.
    """
    own = and_(RankingRow.profile_id == profile.id, RankingRow.number == number)
    known = 1 <= number <= profile.latest_ranking  # what no column holds is not asked for
    if not known or await session.scalar(select(RankingRow.number).where(own)) is None:
        raise RankingMissingError(number)
    await session.execute(delete(RankingRow).where(own))
    learned = and_(
        VersionRow.profile_id == profile.id, VersionRow.origin == "fitted", VersionRow.seen_ranking >= number
    )
    await session.execute(update(VersionRow).where(learned).values(superseded=True))
    owner.rankings -= 1
    profile.rankings -= 1
    profile.fitted_ranking = 0
    profile.epoch += 1


async def _leave_superseded(session: AsyncSession, profile: ProfileRow) -> None:
    """Use the version that fits start from, where the one in use is superseded."""
    if await _is_superseded(session, profile, profile.current_version):
        profile.current_version = profile.base_version


async def _is_superseded(session: AsyncSession, profile: ProfileRow, number: int) -> bool:
    own = and_(VersionRow.profile_id == profile.id, VersionRow.number == number)
    return bool(await session.scalar(select(VersionRow.superseded).where(own)))


async def _removed(session: AsyncSession, table: type[VersionRow | RankingRow], profile_id: UUID) -> int:
    """Delete what a profile has in this table; how many rows that were."""
    own = table.profile_id == profile_id
    count = await session.scalar(select(func.count()).select_from(table).where(own))
    await session.execute(delete(table).where(own))
    return count or 0


def _add_version(
    session: AsyncSession, profile: ProfileRow, version: NewVersion, *, taken: bool, seen: int | None = None
) -> VersionRow:
    """Add the next version of a profile whose row is locked."""
    profile.latest_version += 1
    added = VersionRow(
        profile_id=profile.id,
        number=profile.latest_version,
        origin=version.origin,
        taken=taken,
        weights=pack_weights(version.weights),
        seen_ranking=profile.latest_ranking if seen is None else seen,
        replaced=profile.current_version if profile.latest_version > 1 else None,
        resolution=version.resolution,
        report=version.report,
    )
    session.add(added)
    if taken:
        profile.current_version = added.number
    return added
