"""Operations on profiles: make, look at, teach, take back. One method an operation."""

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.metric.trained_on import TrainedOn
from clpips.models.metric.weights import LayerWeights, WeightsError
from clpips.service.profiles.named_weights import NamedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import NewVersion
from clpips.service.teaching.fit_processes import FitWorkers
from clpips.service.teaching.learner import Learner
from clpips.service.teaching.provenance import as_report, trained_on
from clpips.service.teaching.replies import shipped_detail, summary, taught, unlearned, version_info, waiting
from clpips.service.wire.profile_schemas import (
    Deleted,
    NewProfile,
    ProfileDetail,
    ProfileList,
    ProfileSummary,
    Taught,
)

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
    ) -> None:
        self._store = store
        self._registry = registry
        self._learner = learner
        self._workers = workers

    async def create(self, tenant: str, new: NewProfile) -> ProfileSummary:
        """A new profile; where the content network is left out, it begins with the rest of its parent's weights.

        Raises `UnknownProfile` for the parent, `ContentLeftOut`, `NameTakenError` or `QuotaReachedError`.
        """
        self._registry.require_own(new.name)
        parent = await self._registry.resolve(tenant, new.parent)
        report = as_report(await self._trained_on(tenant, new.parent))
        first = NewVersion(self._begun(parent.weights), "created", parent.weights.resolution, report)
        profile = await self._store.create(tenant, new.name, new.parent, self._registry.backbone, first)
        self._registry.forget(tenant, new.name)
        self._workers.expect()  # who makes a profile teaches it next
        log.info("profile created", tenant=tenant, profile=new.name, parent=new.parent)
        return summary(profile)

    async def _trained_on(self, tenant: str, name: str) -> TrainedOn:
        """What the weights in use under a name were fitted to."""
        if name in self._registry.shipped:
            return self._registry.shipped[name].weights.trained_on
        profile = await self._store.find(tenant, name)
        return await trained_on(self._store, profile, await self._store.version(profile.id, profile.current_version))

    def _begun(self, parent: LayerWeights) -> NDArray[np.float32]:
        """What a new profile begins with, `(6016,)`: its parent's weights, less those of networks that are left out.

        The others grow, so that typical distances stay as large. Raises `ContentLeftOut` where nothing would be left,
        or so little that it cannot grow so far.
        """
        networks = self._registry.networks
        if parent.networks <= networks:
            return parent.values
        try:
            return parent.without(parent.networks - networks)
        except WeightsError:
            raise self._registry.left_out(parent, "/parent") from None

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
            waiting=waiting(profile),
            unlearned=unlearned(profile),
            versions=versions,
            next=versions[-1].number if len(found) > limit else None,
        )

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
