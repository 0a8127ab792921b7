"""Scoring: the weights of a profile turn channel distances into distances, and distances into an order."""

from collections.abc import Callable, Sequence

import numpy as np

from clpips.models.engines.contract import Engine
from clpips.models.metric.distance import distance_by_family, distance_by_layer, weigh
from clpips.models.metric.families import ALEXNET, FAMILIES, families_of
from clpips.service.admission.door import Ticket
from clpips.service.ops.traces import span
from clpips.service.profiles.comparisons import RecentComparisons, comparison_of
from clpips.service.profiles.registry import Registry
from clpips.service.scoring.comparer import ALIGNED, Comparer
from clpips.service.wire.schemas import (
    DistanceReply,
    DistanceRequest,
    EngineInfo,
    PairNames,
    RankedCandidate,
    RankReply,
    RankRequest,
    Slot,
)


class Scorer:
    """Answers `/rank` and `/distance`: from a parsed request to the complete reply."""

    def __init__(
        self,
        comparer: Comparer,
        registry: Registry,
        comparisons: RecentComparisons,
        engine: EngineInfo,
        expect_ranking: Callable[[], None],
    ) -> None:
        """`expect_ranking` is called when an order by a person's own profile is answered: they may well correct it."""
        self._comparer = comparer
        self._registry = registry
        self._comparisons = comparisons
        self._engine = engine
        self._expect_ranking = expect_ranking

    async def rank(self, tenant: str, request: RankRequest, ticket: Ticket) -> RankReply:
        """The candidates of a request in order; the comparison is kept for the person's own order of it.

        Raises a `Problem` or `StorageError`.
        """
        profile = await self._registry.resolve(tenant, request.options.profile)
        self._registry.require_networks(profile.weights, "/profile")
        pairs = [(request.target, candidate) for candidate in request.candidates]
        # All families of the networks that must run: the person may teach the profile from this comparison.
        resolution, networks = request.options.resolution, profile.weights.networks | {ALEXNET}
        masks = None if request.mask is None else [request.mask] * len(pairs)
        z = await self._comparer.compare(tenant, pairs, resolution, ticket, families_of(networks), masks)  # (n, z)
        with span("weigh"):
            distances = weigh(z, profile.weights.values)  # (n,)
            base_distances = weigh(z, self._registry.shipped.base.weights.values)  # (n,)
        base_ranks = np.empty(len(distances), np.intp)  # (n,)
        base_ranks[np.argsort(base_distances, kind="stable")] = np.arange(1, len(distances) + 1)
        ranking = [
            RankedCandidate(
                rank=rank,
                index=index,
                distance=float(distances[index]),
                base_rank=int(base_ranks[index]),
                base_distance=float(base_distances[index]),
                candidate=_name(request.candidates[index]),
            )
            for rank, index in enumerate(np.argsort(distances, kind="stable").tolist(), start=1)
        ]
        if profile.info.name not in self._registry.shipped:
            self._expect_ranking()
        compared = comparison_of(
            tenant,
            request.target,
            request.candidates,
            z,
            networks,
            resolution,
            self._engine.backbone,
            masked=masks is not None,
        )
        return RankReply(
            comparison=await self._comparisons.keep(compared),
            ranking=ranking,
            target=_name(request.target),
            profile=profile.info,
            engine=self._engine,
        )

    async def distance(self, tenant: str, request: DistanceRequest, ticket: Ticket) -> DistanceReply:
        """The distances of a request's pairs. Raises a `Problem` or `StorageError`."""
        profile = await self._registry.resolve(tenant, request.options.profile)
        self._registry.require_networks(profile.weights, "/profile")
        resolution, weights = request.options.resolution, profile.weights
        counting = weights.families or ALIGNED
        z = await self._comparer.compare(tenant, request.pairs, resolution, ticket, counting, request.masks)  # (n, z)
        layers = families = None
        if request.options.layers:
            layers = distance_by_layer(z, weights.values).tolist()  # (n, 5)
            by_family = distance_by_family(z, weights.values).tolist()  # (n, families)
            families = [{f.name: part for f, part in zip(FAMILIES, row, strict=True)} for row in by_family]
        return DistanceReply(
            distances=weigh(z, weights.values).tolist(),
            pairs=[PairNames(_name(target), _name(candidate)) for target, candidate in request.pairs],
            profile=profile.info,
            engine=self._engine,
            layers=layers,
            families=families,
        )


def describe_engine(engines: Sequence[Engine]) -> EngineInfo:
    """What replies say of the engines, which differ in their devices alone."""
    engine, devices = engines[0], ",".join(dict.fromkeys(one.device for one in engines))
    return EngineInfo(engine.name, devices, engine.precision, engine.convolution, engine.fingerprint)


def _name(slot: Slot) -> str:
    """The image as replies name it."""
    return f"sha256:{slot.sha256}"
