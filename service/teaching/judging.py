"""What people say of images: kept and learned from, looked at, forgotten, and which two to ask about next."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.fitting.suggesting import Pair, suggest_pair
from clpips.models.metric.families import families_of, networks_of
from clpips.models.metric.packing import known_networks, pack_z, unpack_z
from clpips.models.metric.weights import LayerWeights
from clpips.models.rankings.orders import OrderError, competition_ranks, ranks_of_order, ranks_of_top
from clpips.models.rankings.pairs import expand_ranks, pairs_of_ranking
from clpips.service.admission.door import Ticket
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import FitFailed, FitPostponed, ImagesNotHeld
from clpips.service.profiles.comparisons import RecentComparisons, comparison_of
from clpips.service.profiles.named_weights import NamedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.scoring.comparer import Comparer
from clpips.service.storage.errors import StorageError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import Comparison, JudgedRanking, NewRanking, Profile
from clpips.service.teaching.learner import FitOutcome, Learner
from clpips.service.teaching.replies import ranking_info, taught, unknown_families
from clpips.service.wire.faults import invalid
from clpips.service.wire.ranking_bodies import RankingRequest
from clpips.service.wire.ranking_schemas import Forgotten, RankingFields, RankingInfo, Suggestion, TaughtRanking
from clpips.service.wire.schemas import HeldImage, Slot

log = structlog.get_logger()


class Judging:
    """The rankings of one service's profiles. A tenant comes first everywhere, and sees nothing of another's.

    Every method raises `StorageError`, and a `RefusedError` of storage where a profile or a ranking is missing. Those
    that change a profile raise `ProfileExists` for shipped weights, which nobody changes.
    """

    def __init__(
        self,
        store: ProfileStore,
        registry: Registry,
        learner: Learner,
        comparisons: RecentComparisons,
        comparer: Comparer,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._registry = registry
        self._learner = learner
        self._comparisons = comparisons
        self._comparer = comparer
        self._taught = telemetry.taught

    async def teach(
        self, tenant: str, name: str, request: RankingRequest, ticket: Ticket
    ) -> tuple[TaughtRanking, bool]:
        """Keep what a person said and learn from it; whether it is new, or was kept before and has been sent again.

        Once it is kept, nothing loses it: where it cannot be learned from now, the answer says so, and it is
        later. Raises `BackboneMismatch`, `InvalidRequest`, `QuotaReachedError`,
        `FitFailed`, `ComparisonNotFound`, or what scoring raises.
        """
        used = await self._teachable(tenant, name)  # an unknown profile is no reason to embed images
        compared = await self._compared(tenant, request, ticket)
        request.drop_images()  # a fit takes long, and needs none of their bytes
        ranks = _ranks(request.fields, len(compared.candidates))
        return await self._learn(tenant, name, used, compared, ranks, request.fields.comparison, request.fields.rater)

    async def teach_compared(
        self, tenant: str, name: str, compared: Comparison, ranks: Sequence[int], comparison: str
    ) -> TaughtRanking:
        """Keep an order of candidates that have been compared, `ranks` `(n,)`, and learn from it.

        It replaces what was said before of the `comparison` of that id. Raises what `teach` raises, less what scoring
        does.
        """
        used = await self._teachable(tenant, name)
        self._registry.require_backbone(compared.backbone, "the comparison")
        taught_, _ = await self._learn(tenant, name, used, compared, ranks, comparison, rater="")
        return taught_

    async def ranking_of(self, tenant: str, name: str, comparison: str) -> int | None:
        """The number of the ranking that an order of a comparison, taught by `teach_compared`, has become, if any."""
        self._registry.require_own(name)
        profile = await self._store.find(tenant, name)
        return await self._store.ranking_of_comparison(profile.id, comparison, "")

    async def _teachable(self, tenant: str, name: str) -> NamedWeights:
        """The weights in use of a profile that can be taught here."""
        self._registry.require_own(name)
        profile = await self._store.find(tenant, name)
        self._registry.require_backbone(profile.backbone, f"the profile {name!r}")
        used = await self._registry.resolve(tenant, name)
        self._registry.require_networks(used.weights)
        return used

    async def _learn(
        self,
        tenant: str,
        name: str,
        used: NamedWeights,
        compared: Comparison,
        ranks: Sequence[int],
        comparison: str | None,
        rater: str,
    ) -> tuple[TaughtRanking, bool]:
        receipt = await self._store.add_ranking(
            tenant,
            name,
            NewRanking(
                channel_distances=compared.channel_distances,
                ranks=ranks,
                rater=rater,
                comparison=comparison,
                target=compared.target,
                candidates=compared.candidates,
                resolution=compared.resolution,
                guessed=_guessed(compared.channel_distances, ranks, used.weights),
            ),
        )
        try:
            outcome = await self._learner.learn(receipt.profile)
            self._taught.labels(outcome.became).inc()
        except FitFailed:
            self._taught.labels("failed").inc()
            raise
        except (StorageError, FitPostponed) as error:
            self._taught.labels("postponed").inc()
            self._learner.postpone()
            outcome = FitOutcome(receipt.profile, None, f"the ranking is kept, and is learned from later: {error}")
        changed = msgspec.structs.asdict(taught(outcome.profile, outcome.version, outcome.reason))
        unknown = unknown_families(compared.channel_distances)
        reply = TaughtRanking(**changed, ranking=receipt.number, guessed=receipt.guessed, unknown=unknown)
        return reply, not receipt.repeated

    async def look(self, tenant: str, name: str, number: int) -> RankingInfo:
        """One ranking."""
        self._registry.require_own(name)
        profile = await self._store.find(tenant, name)
        return ranking_info(profile, await self._store.ranking(profile, number))

    async def forget(self, tenant: str, name: str, number: int) -> Forgotten:
        """Remove a ranking and fit what is left; from then on nothing that learned from it is used.

        Raises `BackboneMismatch` or `FitFailed`; after a `FitFailed` it is removed none the less.
        """
        self._registry.require_own(name)
        profile = await self._store.find(tenant, name)
        self._registry.require_backbone(profile.backbone, f"the profile {name!r}")
        left = await self._store.forget_ranking(tenant, name, number)
        self._registry.forget(tenant, name)
        log.info("ranking forgotten", tenant=tenant, profile=name, ranking=number, in_use=left.current_version)
        outcome = await self._learner.learn(left)
        changed = msgspec.structs.asdict(taught(outcome.profile, outcome.version, outcome.reason))
        return Forgotten(**changed, forgotten=number)

    async def suggest(self, tenant: str, name: str, comparison: str) -> Suggestion:
        """The two candidates of a comparison whose order would teach the profile the most.

        Raises `BackboneMismatch` or `ComparisonNotFound`.
        """
        self._registry.require_own(name)
        profile = await self._store.find(tenant, name)
        self._registry.require_backbone(profile.backbone, f"the profile {name!r}")
        compared = await self._comparisons.find(tenant, comparison)
        self._registry.require_backbone(compared.backbone, "the comparison")
        pair, reason = await self._suggested(profile, compared)
        names = [f"sha256:{compared.candidates[index]}" for index in pair or ()]
        return Suggestion(comparison, f"sha256:{compared.target}", None if pair is None else list(pair), names, reason)

    async def suggest_among(
        self, tenant: str, name: str, compared: Comparison, asked: NDArray[np.bool_]
    ) -> tuple[Pair | None, str]:
        """The two of these candidates whose order would teach the most, and why these, or why none.

        `asked`, `(n, n)`, is true where the order of a pair is known already, either way round. So are those that the
        profile's rankings order, where it is the tenant's own.
        """
        own = name not in self._registry.shipped
        return await self._suggested(await self._store.find(tenant, name) if own else None, compared, asked)

    async def _suggested(
        self, profile: Profile | None, compared: Comparison, asked: NDArray[np.bool_] | None = None
    ) -> tuple[Pair | None, str]:
        known = [] if profile is None else await self._store.rankings_of(profile.id, compared.target)
        ordered = _ordered(compared.candidates, known)  # (n, n)
        asked = ordered if asked is None else asked | ordered
        z = unpack_z(compared.channel_distances)  # (n, z)
        pair = await asyncio.to_thread(suggest_pair, z, asked)
        if pair is None:
            return None, _why_none(z, asked)
        return pair, "of the pairs whose order is not known yet, the weights can differ most about this one"

    async def _compared(self, tenant: str, request: RankingRequest, ticket: Ticket) -> Comparison:
        """The comparison that a request names, or that of the images that it brings."""
        if request.target is None:
            comparison = await self._comparisons.find(tenant, request.fields.comparison or "")
            self._registry.require_backbone(comparison.backbone, "the comparison")
            return await self._completed(comparison, ticket)
        resolution, networks = request.fields.resolution, self._registry.networks
        pairs = [(request.target, candidate) for candidate in request.candidates]
        z = await self._comparer.compare(tenant, pairs, resolution, ticket, families_of(networks))  # (n, z)
        return comparison_of(
            tenant, request.target, request.candidates, z, networks, resolution, self._registry.backbone
        )

    async def _completed(self, comparison: Comparison, ticket: Ticket) -> Comparison:
        """The comparison with what networks say that had not seen its images, where these are still at hand.

        Within a mask nothing can be added, because the mask is not.
        """
        known = known_networks(comparison.channel_distances.shape[1])
        families = families_of(self._registry.networks - known)
        images = {comparison.target, *comparison.candidates}
        at_hand = not comparison.masked and self._comparer.at_hand(comparison.tenant, images, comparison.resolution)
        if not families or not at_hand:
            return comparison
        target = Slot("/target", HeldImage(comparison.target))
        candidates = [Slot(f"/candidates/{place}", HeldImage(one)) for place, one in enumerate(comparison.candidates)]
        pairs = [(target, candidate) for candidate in candidates]
        try:
            added = await self._comparer.compare(
                comparison.tenant, pairs, comparison.resolution, ticket, families
            )  # (n, z)
        except ImagesNotHeld:  # they have been forgotten meanwhile
            return comparison
        whole = unpack_z(comparison.channel_distances) + added  # each is 0 where the other is not
        return replace(comparison, channel_distances=pack_z(whole, known | networks_of(families)))


def _ranks(fields: RankingFields, count: int) -> list[int]:
    """The rank of each of `count` candidates: exactly the pairs that the person ordered, all others tied.

    Raises `InvalidRequest` where what they said is not of so many candidates.
    """
    field = "ranks"
    try:
        if fields.order is not None:
            field = "order"
            return ranks_of_order(fields.order, count)
        if fields.top is not None:
            field = "top"
            return ranks_of_top(fields.top, count)
        if fields.best is not None:
            field = "best"
            return ranks_of_top([fields.best], count)
        return competition_ranks(fields.ranks or [], count)
    except OrderError as error:
        raise invalid(f"/{field}", str(error)) from error


def _guessed(channel_distances: NDArray[np.float16], ranks: Sequence[int], weights: LayerWeights) -> float:
    """Share of the ranking's ordered pairs that the weights order alike, without having seen it."""
    pairs = pairs_of_ranking(unpack_z(channel_distances), ranks, 0)
    return pairs.agreement(weights.values)


def _ordered(candidates: Sequence[str], known: Sequence[JudgedRanking]) -> NDArray[np.bool_]:
    """Which pairs of these candidates rankings of their target have ordered, one way round: `(n, n)`."""
    numbers: dict[str, int] = {}
    images = np.array([numbers.setdefault(image, len(numbers)) for image in candidates], np.intp)  # (n,)
    ordered = np.zeros((len(numbers), len(numbers)), np.bool_)  # of images: one may stand in several places
    for ranking in known:
        own = np.array([numbers.get(image, -1) for image in ranking.candidates], np.intp)
        better, worse = (own[places] for places in expand_ranks(ranking.ranks))  # (p,) each
        both = (better >= 0) & (worse >= 0)
        ordered[better[both], worse[both]] = True
    return ordered[np.ix_(images, images)]


def _why_none(z: NDArray[np.float32], asked: NDArray[np.bool_]) -> str:
    """Why no pair of candidates, `(n, z)`, is worth asking about."""
    if len(z) < 2:
        return "the comparison has one candidate alone: there is no pair to ask about"
    if not asked.any():
        return "the metric cannot tell these candidates apart: no order of them would teach anything"
    return "every pair of these candidates that can be told apart has been ordered"
