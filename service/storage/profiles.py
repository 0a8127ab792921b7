"""Changing profiles. Every method is one transaction, and needs nothing but what it is given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from clpips.models.metric.backbone import TOTAL_CHANNELS
from clpips.service.problems import LimitReached, ProfileExists, VersionNotFound
from clpips.service.storage.database import Database
from clpips.service.storage.reading import ProfileReader, by_name, found
from clpips.service.storage.tables import Profile, Ranking, Tenant, Version

Origin = Literal["created", "fitted", "imported", "reset"]


@dataclass(frozen=True)
class NewRanking:
    """A ranking to be kept: n candidates of a target, and the order that a person gave them."""

    channel_distances: NDArray[np.float16]  # (n, 1152)
    ranks: Sequence[int]  # (n,) 1 is the most similar; equal ranks are ties
    rater: str
    comparison: str | None  # of the `/rank` that was re-ordered
    target: str  # sha256
    candidates: Sequence[str]  # (n,) sha256
    resolution: int | None


@dataclass(frozen=True)
class NewVersion:
    """Weights to be kept as a version."""

    weights: NDArray[np.float32]  # (1152,)
    origin: Origin
    resolution: int | None
    report: dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What a tenant may keep at most."""

    profiles: int
    rankings: int


class ProfileStore(ProfileReader):
    """The profiles of one database, to be looked at and changed, within the limits of each tenant."""

    def __init__(self, database: Database, limits: Limits) -> None:
        super().__init__(database)
        self._limits = limits

    async def create(self, tenant: str, name: str, parent: str, backbone: str, first: NewVersion) -> Profile:
        """A new profile whose version 1 is `first`. Raises `ProfileExists` or `LimitReached`."""
        async with self._database.write() as session:
            owner = await _lock_tenant(session, tenant)
            if await session.scalar(by_name(tenant, name)) is not None:
                raise ProfileExists(f"there is a profile {name!r} already; teach it, or choose another name")
            if owner.profiles >= self._limits.profiles:
                raise LimitReached(f"there are {owner.profiles:,} profiles, which is the limit; delete one first")
            owner.profiles += 1
            profile = Profile(
                tenant=tenant,
                name=name,
                parent=parent,
                backbone=backbone,
                base_version=1,
                current_version=1,
                latest_version=0,
                latest_ranking=0,
                forgotten_ranking=0,
                fitted_ranking=0,
                epoch=0,
            )
            session.add(profile)
            await session.flush()
            _add_version(session, profile, first, taken=True)
        return profile

    async def add_ranking(self, tenant: str, name: str, ranking: NewRanking) -> tuple[Profile, int]:
        """Keep a ranking; its profile as it is then, and the ranking's number.

        A ranking that says what the newest of the same comparison and rater says is the same one, sent again because
        its answer was lost: it is not kept twice. Raises `ProfileNotFound` or `LimitReached`.
        """
        async with self._database.write() as session:
            owner = await session.get(Tenant, tenant, with_for_update=True)
            profile = await _locked(session, tenant, name)
            if (known := await _known(session, profile, ranking)) is not None:
                return profile, known
            assert owner is not None  # noqa: S101 - a profile refers to its tenant
            if owner.rankings >= self._limits.rankings:
                raise LimitReached(f"there are {owner.rankings:,} rankings, which is the limit; delete a profile first")
            owner.rankings += 1
            profile.latest_ranking += 1
            session.add(
                Ranking(
                    profile_id=profile.id,
                    number=profile.latest_ranking,
                    channel_distances=ranking.channel_distances.astype("<f2").tobytes(),
                    ranks=list(ranking.ranks),
                    rater=ranking.rater,
                    comparison=ranking.comparison,
                    target=ranking.target,
                    candidates=list(ranking.candidates),
                    resolution=ranking.resolution,
                )
            )
        return profile, profile.latest_ranking

    async def add_fitted(
        self, seen: Profile, version: NewVersion | None, *, taken: bool, again: bool
    ) -> tuple[Profile, Version | None] | None:
        """Keep what came of a fit to the profile as `seen`, and take it into use if `taken`.

        None, and nothing is kept, where the fit has been overtaken: another replica has fitted as many rankings
        (`again` says that this does not matter, for a fit that was asked for), or the profile has been reset, rolled
        back or imported into meanwhile. Without a `version` it is noted alone that these rankings gave none.
        """
        async with self._database.write() as session:
            profile = await session.get(Profile, seen.id, with_for_update=True)
            profile = found(profile, seen.name)
            if profile.epoch != seen.epoch or profile.fitted_ranking > seen.latest_ranking:
                return None
            if profile.fitted_ranking == seen.latest_ranking and not again:
                return None
            added = None
            if version is not None:
                added = _add_version(session, profile, version, taken=taken, seen=seen.latest_ranking)
            profile.fitted_ranking = seen.latest_ranking
        return profile, added

    async def import_version(self, tenant: str, name: str, version: NewVersion) -> tuple[Profile, Version]:
        """Take imported weights into use; later fits start from them. Raises `ProfileNotFound`."""
        async with self._database.write() as session:
            profile = await _locked(session, tenant, name)
            added = _add_version(session, profile, version, taken=True)
            profile.base_version = added.number
            profile.epoch += 1
        return profile, added

    async def rollback(self, tenant: str, name: str, number: int) -> Profile:
        """Use version `number` again. Raises `ProfileNotFound` or `VersionNotFound`."""
        async with self._database.write() as session:
            profile = await _locked(session, tenant, name)
            exists = select(Version.number).where(Version.profile_id == profile.id, Version.number == number)
            if await session.scalar(exists) is None:
                raise VersionNotFound.of(number, profile.latest_version)
            profile.current_version = number
            profile.epoch += 1
        return profile

    async def reset(self, tenant: str, name: str) -> tuple[Profile, Version]:
        """Begin again with the weights of version 1; the rankings so far no longer count. Raises `ProfileNotFound`."""
        async with self._database.write() as session:
            profile = await _locked(session, tenant, name)
            first = await session.get(Version, (profile.id, 1))
            assert first is not None  # noqa: S101 - versions are never deleted alone
            profile.forgotten_ranking = profile.fitted_ranking = profile.latest_ranking
            again = NewVersion(unpack_weights(first.weights), "reset", first.resolution, {})
            added = _add_version(session, profile, again, taken=True)
            profile.base_version = added.number
            profile.epoch += 1
        return profile, added

    async def delete(self, tenant: str, name: str) -> tuple[int, int]:
        """Remove a profile with all it has; how many versions and rankings that were. Raises `ProfileNotFound`."""
        async with self._database.write() as session:
            owner = await session.get(Tenant, tenant, with_for_update=True)
            profile = await _locked(session, tenant, name)
            assert owner is not None  # noqa: S101 - a profile refers to its tenant
            counts = [
                await session.scalar(select(func.count()).select_from(table).where(table.profile_id == profile.id)) or 0
                for table in (Version, Ranking)
            ]
            for table in (Version, Ranking):
                await session.execute(delete(table).where(table.profile_id == profile.id))
            await session.execute(delete(Profile).where(Profile.id == profile.id))
            owner.profiles -= 1
            owner.rankings -= counts[1]
        return counts[0], counts[1]


def unpack_weights(content: bytes) -> NDArray[np.float32]:
    """The weights of a version, `(1152,)`."""
    return np.frombuffer(content, "<f4").astype(np.float32, copy=False)


def unpack_channel_distances(content: bytes) -> NDArray[np.float16]:
    """The channel distances of a ranking, `(n, 1152)`."""
    return np.frombuffer(content, "<f2").reshape(-1, TOTAL_CHANNELS)


async def _locked(session: AsyncSession, tenant: str, name: str) -> Profile:
    """The profile's row, locked. Raises `ProfileNotFound`."""
    return found(await session.scalar(by_name(tenant, name).with_for_update()), name)


async def _lock_tenant(session: AsyncSession, name: str) -> Tenant:
    """The tenant's row, locked; made on first use."""
    tenant = await session.get(Tenant, name, with_for_update=True)
    if tenant is None:
        try:
            async with session.begin_nested():
                tenant = Tenant(name=name, profiles=0, rankings=0)
                session.add(tenant)
        except IntegrityError:  # another replica was first
            tenant = await session.get_one(Tenant, name, with_for_update=True)
    return tenant


async def _known(session: AsyncSession, profile: Profile, ranking: NewRanking) -> int | None:
    """The number under which the same order of the same comparison is already the newest."""
    if ranking.comparison is None:
        return None
    newest = (
        select(Ranking.number, Ranking.ranks)
        .where(
            Ranking.profile_id == profile.id,
            Ranking.comparison == ranking.comparison,
            Ranking.rater == ranking.rater,
            Ranking.number > profile.forgotten_ranking,
        )
        .order_by(Ranking.number.desc())
        .limit(1)
    )
    row = (await session.execute(newest)).first()
    return row.number if row is not None and list(row.ranks) == list(ranking.ranks) else None


def _add_version(
    session: AsyncSession, profile: Profile, version: NewVersion, *, taken: bool, seen: int | None = None
) -> Version:
    """Add the next version of a profile whose row is locked."""
    profile.latest_version += 1
    added = Version(
        profile_id=profile.id,
        number=profile.latest_version,
        origin=version.origin,
        taken=taken,
        weights=version.weights.astype("<f4").tobytes(),
        seen_ranking=profile.latest_ranking if seen is None else seen,
        replaced=profile.current_version if profile.latest_version > 1 else None,
        resolution=version.resolution,
        report=version.report,
    )
    session.add(added)
    if taken:
        profile.current_version = added.number
    return added
