"""What a tool can do with profiles: make, teach, look at, take back, carry away. One method an operation."""

from collections.abc import AsyncIterator, Sequence

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.metric.weights import LayerWeights, WeightsError
from clpips.models.metric.weights_files import parse_weights
from clpips.models.rankings.files import Ranking
from clpips.models.rankings.pairs import pairs_of_ranking
from clpips.service.admission.door import Ticket
from clpips.service.problems import BackboneMismatch, Fault, InvalidRequest, ProfileExists, ProfileNotFound
from clpips.service.profiles.comparisons import Comparison, Comparisons
from clpips.service.profiles.registry import Registry, layer_weights, usable
from clpips.service.scoring.scorer import Scorer
from clpips.service.storage.profiles import NewRanking, NewVersion, ProfileStore, unpack_channel_distances
from clpips.service.storage.reading import NAME
from clpips.service.teaching.learner import Learner
from clpips.service.teaching.replies import shipped_detail, summary, taught, version_info
from clpips.service.wire.profile_schemas import (
    Deleted,
    NewProfile,
    ProfileDetail,
    ProfileList,
    ProfileSummary,
    Taught,
    TaughtRanking,
)
from clpips.service.wire.ranking_bodies import RankingRequest, ranks_of

log = structlog.get_logger()


class Teaching:
    """The operations on one service's profiles. A tenant comes first everywhere, and sees nothing of another's."""

    def __init__(
        self,
        store: ProfileStore,
        registry: Registry,
        learner: Learner,
        comparisons: Comparisons,
        scorer: Scorer,
        backbone: str,
    ) -> None:
        self._store = store
        self._registry = registry
        self._learner = learner
        self._comparisons = comparisons
        self._scorer = scorer
        self._backbone = backbone

    # --- making and looking -------------------------------------------------------------------------------------------

    async def create(self, tenant: str, new: NewProfile) -> ProfileSummary:
        """Raises `UnknownProfile` for the parent, `ProfileExists` or `LimitReached`."""
        self._require_own(new.name)
        parent = await self._registry.resolve(tenant, new.parent)
        first = NewVersion(parent.weights.values, "created", parent.weights.resolution, {})
        profile = await self._store.create(tenant, new.name, new.parent, self._backbone, first)
        self._registry.forget(tenant, new.name)
        self._learner.expect()
        log.info("profile created", tenant=tenant, profile=new.name, parent=new.parent)
        return summary(profile)

    async def page(self, tenant: str, after: str, limit: int) -> ProfileList:
        after = after.replace("\0", "")  # which no name has, and PostgreSQL refuses
        found = await self._store.page(tenant, after, limit + 1)
        page = [summary(profile) for profile in found[:limit]]
        return ProfileList(page, self._registry.shipped.names(), page[-1].name if len(found) > limit else None)

    async def detail(self, tenant: str, name: str, before: int | None, limit: int) -> ProfileDetail:
        """Raises `ProfileNotFound`."""
        lpips = self._registry.shipped.base.weights.layer_shares()
        if name in self._registry.shipped.names():
            return shipped_detail(self._registry.shipped[name].weights, lpips)
        profile = await self._store.find(tenant, name)
        current = await self._store.version(profile, profile.current_version)
        found = await self._store.versions(profile, before, limit + 1)
        versions = [version_info(profile, version) for version in found[:limit]]
        return ProfileDetail(
            **msgspec.structs.asdict(summary(profile)),
            layer_shares=usable(profile, current).weights.layer_shares(),
            lpips_layer_shares=lpips,
            unlearned=profile.latest_ranking - profile.fitted_ranking,
            versions=versions,
            next=versions[-1].number if len(found) > limit else None,
        )

    def ranked(self, name: str) -> None:
        """Hear that somebody was shown an order by this profile: they may well correct it."""
        if name not in self._registry.shipped.names():
            self._learner.expect()

    # --- teaching -----------------------------------------------------------------------------------------------------

    async def teach(self, tenant: str, name: str, request: RankingRequest, ticket: Ticket) -> TaughtRanking:
        """Keep a person's order and learn from it. Raises a `Problem`; once it is kept, nothing loses it."""
        self._require_own(name)
        profile = await self._store.find(tenant, name)  # an unknown profile is no reason to embed images
        self._require_backbone(profile.backbone, name)
        compared = await self._compared(tenant, request, ticket)
        ranks = ranks_of(request.fields, len(compared.candidates))
        used = await self._registry.resolve(tenant, name)
        guessed = _guessed(compared.channel_distances, ranks, used.weights)
        profile, number = await self._store.add_ranking(
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
            ),
        )
        learned = await self._learner.learn(tenant, name, number)
        return TaughtRanking(**msgspec.structs.asdict(taught(learned)), ranking=number, guessed=guessed)

    async def fit(self, tenant: str, name: str) -> Taught:
        """Fit now. Raises `ProfileNotFound` or `FitFailed`."""
        self._require_own(name)
        profile = await self._store.find(tenant, name)
        self._require_backbone(profile.backbone, name)
        return taught(await self._learner.refit(tenant, name))

    async def rollback(self, tenant: str, name: str, number: int) -> ProfileSummary:
        """Use a version again. Raises `ProfileNotFound` or `VersionNotFound`."""
        self._require_own(name)
        profile = await self._store.rollback(tenant, name, number)
        self._registry.forget(tenant, name)
        log.info("profile rolled back", tenant=tenant, profile=name, version=number)
        return summary(profile)

    async def reset(self, tenant: str, name: str) -> ProfileSummary:
        """Begin again where it began; its rankings no longer count. Raises `ProfileNotFound`."""
        self._require_own(name)
        profile, version = await self._store.reset(tenant, name)
        self._registry.forget(tenant, name)
        log.info("profile reset", tenant=tenant, profile=name, version=version.number)
        return summary(profile)

    async def delete(self, tenant: str, name: str) -> Deleted:
        """Remove everything about a profile. Raises `ProfileNotFound`."""
        self._require_own(name)
        versions, rankings = await self._store.delete(tenant, name)
        self._registry.forget(tenant, name)
        log.info("profile deleted", tenant=tenant, profile=name, versions=versions, rankings=rankings)
        return Deleted(name, versions, rankings)

    # --- carrying away and bringing -----------------------------------------------------------------------------------

    async def export_weights(self, tenant: str, name: str, number: int | None) -> tuple[LayerWeights, int]:
        """The weights of a version (the one in use where none is named), and its number. Raises a `Problem`."""
        if name in self._registry.shipped.names():
            return self._registry.shipped[name].weights, 1
        profile = await self._store.find(tenant, name)
        version = await self._store.version(profile, number or profile.current_version)
        return layer_weights(profile, version), version.number

    async def import_weights(self, tenant: str, name: str, content: bytes) -> tuple[ProfileSummary, bool]:
        """Take a weights file into use, and whether that made the profile. Raises a `Problem`."""
        self._require_own(name)
        if not NAME.fullmatch(name):
            raise InvalidRequest("a profile's name has letters, digits and . _ @ -, at most 128, the first no sign")
        try:
            weights = parse_weights(content, "the body")
            weights.require_backbone(self._backbone)
        except WeightsError as error:
            raise InvalidRequest(str(error), [Fault("", str(error))]) from error
        version = NewVersion(weights.values, "imported", weights.resolution, {"recipe": weights.recipe})
        try:
            profile, _ = await self._store.import_version(tenant, name, version)
            made = False
        except ProfileNotFound:
            parent = weights.name if NAME.fullmatch(weights.name) else "imported"
            profile = await self._store.create(tenant, name, parent, self._backbone, version)
            made = True
        self._registry.forget(tenant, name)
        log.info("weights imported", tenant=tenant, profile=name, version=profile.current_version)
        return summary(profile), made

    async def export_rankings(self, tenant: str, name: str) -> AsyncIterator[Ranking]:
        """The rankings that count. Raises `ProfileNotFound` before the first."""
        self._require_own(name)
        profile = await self._store.find(tenant, name)

        async def rankings() -> AsyncIterator[Ranking]:
            async for row in self._store.rankings(profile):
                yield Ranking(
                    target=f"sha256:{row.target}",
                    ranks=tuple(row.ranks),
                    set=str(row.number),
                    rater=row.rater,
                    z=unpack_channel_distances(row.channel_distances),
                    backbone=profile.backbone,
                    resolution=row.resolution,
                )

        return rankings()

    # --- what they share ----------------------------------------------------------------------------------------------

    async def _compared(self, tenant: str, request: RankingRequest, ticket: Ticket) -> Comparison:
        if request.target is None:
            comparison = await self._comparisons.find(tenant, request.fields.comparison or "")
            self._require_backbone(comparison.backbone, "comparison")
            return comparison
        channel_distances = await self._scorer.compare(
            request.target, request.candidates, request.fields.resolution, ticket
        )
        return Comparison.of(
            tenant,
            request.target,
            request.candidates,
            channel_distances,
            request.fields.resolution,
            self._backbone,
        )

    def _require_own(self, name: str) -> None:
        if name in self._registry.shipped.names():
            raise ProfileExists(
                f"{name!r} ships with the service and stays as it is; make a profile of your own with it as the parent"
            )

    def _require_backbone(self, backbone: str, name: str) -> None:
        if backbone != self._backbone:
            raise BackboneMismatch(
                f"{name!r} belongs to the backbone {backbone[:12]}…, this service runs {self._backbone[:12]}…"
            )


def _guessed(channel_distances: NDArray[np.float16], ranks: Sequence[int], weights: LayerWeights) -> float:
    """Share of the ranking's ordered pairs that the weights order alike, without having seen it."""
    pairs = pairs_of_ranking(channel_distances.astype(np.float32), ranks, 0)
    return pairs.agreement(weights.values)
