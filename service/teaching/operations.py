"""Operations on profiles: make, look at, teach, take back. One method an operation."""

from collections.abc import Sequence

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.metric.packing import unpack_z
from clpips.models.metric.weights import LayerWeights
from clpips.models.rankings.orders import OrderError, competition_ranks, ranks_of_order
from clpips.models.rankings.pairs import pairs_of_ranking
from clpips.service.admission.door import Ticket
from clpips.service.profiles.comparisons import RecentComparisons, comparison_of
from clpips.service.profiles.named_weights import NamedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.scoring.comparer import Comparer
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import Comparison, NewRanking, NewVersion
from clpips.service.teaching.fit_processes import FitWorkers
from clpips.service.teaching.learner import Learner
from clpips.service.teaching.replies import shipped_detail, summary, taught, version_info
from clpips.service.wire.faults import invalid
from clpips.service.wire.profile_schemas import (
    Deleted,
    NewProfile,
    ProfileDetail,
    ProfileList,
    ProfileSummary,
    RankingFields,
    Taught,
    TaughtRanking,
)
from clpips.service.wire.ranking_bodies import RankingRequest

log = structlog.get_logger()


class Teaching:
    """The operations on one service's profiles. A tenant comes first everywhere, and sees nothing of another's.

    Every method raises `StorageError`, and a `RefusedError` of storage where a profile or a version is missing. Those
    that change a profile raise `ProfileExists` for shipped weights, which nobody changes.
    """

    def __init__(
        self,
        store: ProfileStore,
        registry: Registry,
        learner: Learner,
        workers: FitWorkers,
        comparisons: RecentComparisons,
        comparer: Comparer,
    ) -> None:
        self._store = store
        self._registry = registry
        self._learner = learner
        self._workers = workers
        self._comparisons = comparisons
        self._comparer = comparer

    async def create(self, tenant: str, new: NewProfile) -> ProfileSummary:
        """Raises `UnknownProfile` for the parent, `NameTakenError` or `QuotaReachedError`."""
        self._registry.require_own(new.name)
        parent = await self._registry.resolve(tenant, new.parent)
        first = NewVersion(parent.weights.values, "created", parent.weights.resolution, {})
        profile = await self._store.create(tenant, new.name, new.parent, self._registry.backbone, first)
        self._registry.forget(tenant, new.name)
        self._workers.expect()  # who makes a profile teaches it next
        log.info("profile created", tenant=tenant, profile=new.name, parent=new.parent)
        return summary(profile)

    async def page(self, tenant: str, after: str, limit: int) -> ProfileList:
        """The tenant's profiles by name, those that come after `after`, and the shipped weights."""
        after = after.replace("\0", "")  # which no name has, and PostgreSQL refuses
        found = await self._store.page(tenant, after, limit + 1)
        page = [summary(profile) for profile in found[:limit]]
        return ProfileList(page, self._registry.shipped.names(), page[-1].name if len(found) > limit else None)

    async def detail(self, tenant: str, name: str, before: int | None, limit: int) -> ProfileDetail:
        """A profile with its versions below `before`, the newest first."""
        lpips = self._registry.shipped.base.weights.layer_shares()
        if name in self._registry.shipped:
            return shipped_detail(self._registry.shipped[name].weights, lpips)
        profile = await self._store.find(tenant, name)
        current = await self._store.version(profile.id, profile.current_version)
        found = await self._store.versions(profile.id, before, limit + 1)
        versions = [version_info(profile, version) for version in found[:limit]]
        weights = NamedWeights.stored(profile, current).weights
        return ProfileDetail(
            **msgspec.structs.asdict(summary(profile)),
            layer_shares=weights.layer_shares(),
            family_shares=weights.family_shares(),
            lpips_layer_shares=lpips,
            unlearned=profile.latest_ranking - profile.fitted_ranking,
            versions=versions,
            next=versions[-1].number if len(found) > limit else None,
        )

    async def teach(
        self, tenant: str, name: str, request: RankingRequest, ticket: Ticket
    ) -> tuple[TaughtRanking, bool]:
        """Keep a person's order and learn from it; whether it is new, or was kept before and has been sent again.

        Once it is kept, nothing loses it. Raises `BackboneMismatch`, `InvalidRequest`, `QuotaReachedError`,
        `FitFailed`, `ComparisonNotFound`, or what scoring raises.
        """
        self._registry.require_own(name)
        profile = await self._store.find(tenant, name)  # an unknown profile is no reason to embed images
        self._registry.require_backbone(profile.backbone, f"the profile {name!r}")
        compared = await self._compared(tenant, request, ticket)
        request.drop_images()  # a fit takes long, and needs none of their bytes
        ranks = _ranks(request.fields, len(compared.candidates))
        used = await self._registry.resolve(tenant, name)
        receipt = await self._store.add_ranking(
            tenant,
            name,
            NewRanking(
                channel_distances=compared.channel_distances,
                ranks=ranks,
                rater=request.fields.rater,
                comparison=request.fields.comparison,
                target=compared.target,
                candidates=compared.candidates,
                resolution=compared.resolution,
                guessed=_guessed(compared.channel_distances, ranks, used.weights),
            ),
        )
        outcome = await self._learner.learn(tenant, name, receipt.number)
        changed = msgspec.structs.asdict(taught(outcome.profile, outcome.version, outcome.reason))
        return TaughtRanking(**changed, ranking=receipt.number, guessed=receipt.guessed), not receipt.repeated

    async def fit(self, tenant: str, name: str) -> Taught:
        """Fit now. Raises `BackboneMismatch` or `FitFailed`."""
        self._registry.require_own(name)
        profile = await self._store.find(tenant, name)
        self._registry.require_backbone(profile.backbone, f"the profile {name!r}")
        outcome = await self._learner.refit(tenant, name)
        return taught(outcome.profile, outcome.version, outcome.reason)

    async def rollback(self, tenant: str, name: str, number: int) -> ProfileSummary:
        """Use a version again."""
        self._registry.require_own(name)
        profile = await self._store.rollback(tenant, name, number)
        self._registry.forget(tenant, name)
        log.info("profile rolled back", tenant=tenant, profile=name, version=number)
        return summary(profile)

    async def reset(self, tenant: str, name: str) -> ProfileSummary:
        """Begin again where it began; its rankings no longer count."""
        self._registry.require_own(name)
        profile = await self._store.reset(tenant, name)
        self._registry.forget(tenant, name)
        log.info("profile reset", tenant=tenant, profile=name, version=profile.current_version)
        return summary(profile)

    async def delete(self, tenant: str, name: str) -> Deleted:
        """Remove everything about a profile."""
        self._registry.require_own(name)
        versions, rankings = await self._store.delete(tenant, name)
        self._registry.forget(tenant, name)
        log.info("profile deleted", tenant=tenant, profile=name, versions=versions, rankings=rankings)
        return Deleted(name, versions, rankings)

    async def _compared(self, tenant: str, request: RankingRequest, ticket: Ticket) -> Comparison:
        """The comparison that a request names, or that of the images that it brings."""
        if request.target is None:
            comparison = await self._comparisons.find(tenant, request.fields.comparison or "")
            self._registry.require_backbone(comparison.backbone, "the comparison")
            return comparison
        resolution = request.fields.resolution
        pairs = [(request.target, candidate) for candidate in request.candidates]
        channel_distances = await self._comparer.compare(pairs, resolution, ticket)
        return comparison_of(
            tenant, request.target, request.candidates, channel_distances, resolution, self._registry.backbone
        )


def _ranks(fields: RankingFields, count: int) -> list[int]:
    """The rank of each of `count` candidates. Raises `InvalidRequest` where the request gives none to some."""
    try:
        if fields.order is not None:
            return ranks_of_order(fields.order, count)
        return competition_ranks(fields.ranks or [], count)
    except OrderError as error:
        raise invalid("/order" if fields.order is not None else "/ranks", str(error)) from error


def _guessed(channel_distances: NDArray[np.float16], ranks: Sequence[int], weights: LayerWeights) -> float:
    """Share of the ranking's ordered pairs that the weights order alike, without having seen it."""
    pairs = pairs_of_ranking(unpack_z(channel_distances), ranks, 0)
    return pairs.agreement(weights.values)
