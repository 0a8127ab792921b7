"""Matrices: the distances of all pairs of a set of images, by a profile's weights, and the set's diversity."""

import numpy as np

from clpips.models.metric.diversity import diversity
from clpips.service.admission.door import Ticket
from clpips.service.profiles.registry import Registry
from clpips.service.scoring.comparer import ALIGNED, Comparer
from clpips.service.wire.matrices import DiversityInfo, Matrix, MatrixRequest
from clpips.service.wire.schemas import EngineInfo


class Matrices:
    """Answers `/matrix`: from a parsed request to all distances."""

    def __init__(self, comparer: Comparer, registry: Registry, engine: EngineInfo) -> None:
        self._comparer = comparer
        self._registry = registry
        self._engine = engine

    async def measure(self, tenant: str, request: MatrixRequest, ticket: Ticket) -> Matrix:
        """The distances of a request's images. Raises a `Problem` or `StorageError`."""
        profile = await self._registry.resolve(tenant, request.options.profile)
        self._registry.require_networks(profile.weights, "/profile")
        weights = profile.weights
        distances = await self._comparer.compare_all(
            tenant, request.images, request.options.resolution, ticket, weights.families or ALIGNED, weights.values
        )  # (n, n)
        names = [f"sha256:{slot.sha256}" for slot in request.images]
        found = DiversityInfo(*diversity(np.asarray(distances)))
        return Matrix(distances, names, found, profile.info, self._engine)
