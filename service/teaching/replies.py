"""Replies about profiles: records of storage, shipped weights and fits as the structs of `profile_schemas.py`."""

from datetime import UTC, datetime
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.families import FAMILIES
from clpips.models.metric.packing import known_networks
from clpips.models.metric.weights import LayerWeights
from clpips.service.storage.records import JudgedRanking, Profile, Version
from clpips.service.wire.profile_schemas import FitInfo, ProfileDetail, ProfileSummary, Taught, VersionInfo
from clpips.service.wire.ranking_schemas import RankingInfo


def summary(profile: Profile) -> ProfileSummary:
    """A stored profile as lists show it."""
    return ProfileSummary(
        name=profile.name,
        parent=profile.parent,
        version=profile.current_version,
        rankings=profile.rankings,
        created=profile.created_at,
    )


def version_info(profile: Profile, version: Version) -> VersionInfo:
    """One of its versions, without the weights."""
    status: Literal["in use", "taken", "proposed", "superseded"]
    if version.number == profile.current_version:
        status = "in use"
    elif version.superseded:
        status = "superseded"
    else:
        status = "taken" if version.taken else "proposed"
    return VersionInfo(
        number=version.number,
        origin=version.origin,
        status=status,
        created=version.created_at,
        replaced=version.replaced,
        fit=msgspec.convert(version.report, FitInfo) if version.origin == "fitted" else None,
    )


def shipped_detail(weights: LayerWeights, lpips: list[float]) -> ProfileDetail:
    """Shipped weights as a profile of one version; `lpips` are the layer shares to compare with."""
    created = datetime.fromisoformat(weights.created).astimezone(UTC)
    return ProfileDetail(
        name=weights.name,
        parent=weights.parent or "",
        version=1,
        rankings=0,
        created=created,
        layer_shares=weights.layer_shares(),
        family_shares=weights.family_shares(),
        lpips_layer_shares=lpips,
        waiting=None,
        unlearned=0,
        versions=[VersionInfo(1, "shipped", "in use", created)],
        next=None,
    )


def waiting(profile: Profile) -> str | None:
    """What a profile waits for, for a person; none where its newest rankings are in use."""
    if not profile.rankings:
        return f"it has no rankings yet: version {profile.current_version} answers until there are some to learn from"
    return profile.waiting


def unlearned(profile: Profile) -> int:
    """How many of its rankings no fit has considered."""
    return min(profile.latest_ranking - profile.fitted_ranking, profile.rankings)  # numbers have gaps where some went


def ranking_info(profile: Profile, ranking: JudgedRanking) -> RankingInfo:
    """A ranking as it is kept, without its channel distances."""
    return RankingInfo(
        profile=profile.name,
        ranking=ranking.number,
        target=f"sha256:{ranking.target}",
        candidates=[f"sha256:{image}" for image in ranking.candidates],
        ranks=list(ranking.ranks),
        rater=ranking.rater,
        comparison=ranking.comparison,
        resolution=ranking.resolution,
        at=ranking.created_at,
        guessed=ranking.guessed,
    )


def unknown_families(channel_distances: NDArray[np.float16]) -> list[str]:
    """The families that packed channel distances, `(n, known)`, say nothing of."""
    known = known_networks(channel_distances.shape[1])
    return [family.name for family in FAMILIES if family.backbone not in known]


def taught(profile: Profile, version: Version | None, reason: str) -> Taught:
    """What a fit changed: the profile after it, and the version that it made, if it made one."""
    fit = None if version is None else msgspec.convert(version.report, FitInfo)
    taken = version is not None and version.taken
    return Taught(
        profile=profile.name,
        version=profile.current_version,
        taken=taken,
        reason=reason,
        waiting=waiting(profile),
        proposed=version.number if version is not None and not taken else None,
        before=None if fit is None else fit.parent.pair_agreement,
        after=None if fit is None else fit.agreement.pair_agreement,
        lpips=None if fit is None else fit.lpips.pair_agreement,
        rankings=profile.rankings,
        pairs=None if fit is None else fit.pairs,
    )
