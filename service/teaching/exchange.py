"""Export and import: weights and rankings of a profile, to carry away and to bring. One method an operation."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import structlog

from clpips.models.metric.weights import LayerWeights, WeightsError
from clpips.models.metric.weights_files import format_weights, parse_weights
from clpips.models.rankings.files import Ranking
from clpips.service.problems import Fault, InvalidRequest
from clpips.service.profiles.named_weights import NamedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.storage.errors import ProfileMissingError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.reading import NAME
from clpips.service.storage.records import NewVersion
from clpips.service.teaching.provenance import as_report, trained_on
from clpips.service.teaching.replies import summary
from clpips.service.wire.profile_schemas import ProfileSummary

log = structlog.get_logger()


class Exchange:
    """What leaves a service and enters it as a file. A tenant comes first everywhere, and sees nothing of another's.

    Every method raises `StorageError`, and a `RefusedError` of storage where the profile or the version is missing.
    """

    def __init__(self, store: ProfileStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def export_weights(self, tenant: str, name: str, number: int | None) -> tuple[bytes, int]:
        """The weights file of a version, of the one in use where none is named; and the version's number."""
        if name in self._registry.shipped:
            named = self._registry.shipped[name]
            return format_weights(named.weights), named.info.version
        profile = await self._store.find(tenant, name)
        version = await self._store.version(profile.id, number or profile.current_version)
        weights = NamedWeights.stored(profile, version).weights
        known = await trained_on(self._store, profile, version)
        return format_weights(replace(weights, trained_on=known)), version.number

    async def import_weights(self, tenant: str, name: str, content: bytes) -> tuple[ProfileSummary, bool]:
        """Take a weights file into use, and whether that made the profile.

        Raises `ProfileExists` for shipped weights, `InvalidRequest`, `ContentLeftOut` or `QuotaReachedError`.
        """
        self._registry.require_own(name)
        if not NAME.fullmatch(name):
            raise InvalidRequest("a profile's name has letters, digits and . _ @ -, at most 128, the first no sign")
        weights = await asyncio.to_thread(self._parsed, content)
        report = {"recipe": weights.recipe, **as_report(weights.trained_on)}
        version = NewVersion(weights.values, "imported", weights.resolution, report)
        try:
            profile = await self._store.import_version(tenant, name, version)
            made = False
        except ProfileMissingError:
            parent = weights.name if NAME.fullmatch(weights.name) else "imported"
            profile = await self._store.create(tenant, name, parent, self._registry.backbone, version)
            made = True
        self._registry.forget(tenant, name)
        log.info("weights imported", tenant=tenant, profile=name, version=profile.current_version)
        return summary(profile), made

    async def export_rankings(self, tenant: str, name: str) -> AsyncIterator[Ranking]:
        """The rankings that count. Raises before the first; `ProfileExists` for shipped weights, which have none."""
        self._registry.require_own(name)
        profile = await self._store.find(tenant, name)

        async def rankings() -> AsyncIterator[Ranking]:
            async for kept in self._store.rankings(profile.id, profile.latest_ranking):
                yield Ranking(
                    target=f"sha256:{kept.target}",
                    candidates=tuple(f"sha256:{image}" for image in kept.candidates),
                    ranks=tuple(kept.ranks),
                    set=str(kept.number),
                    rater=kept.rater,
                    comparison=kept.comparison or "",
                    at=kept.created_at,
                    z=kept.channel_distances,
                    backbone=profile.backbone,
                    resolution=kept.resolution,
                )

        return rankings()

    def _parsed(self, content: bytes) -> LayerWeights:
        """The weights of a file. Raises `InvalidRequest`."""
        try:
            weights = parse_weights(content, "the body")
            weights.require_backbone(self._registry.backbone, self._registry.shipped.base.weights.layout.net.name)
            self._registry.require_networks(weights)
        except WeightsError as error:
            raise InvalidRequest(str(error), [Fault("", str(error))]) from error
        return weights
