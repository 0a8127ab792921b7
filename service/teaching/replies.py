"""Replies about profiles: records of storage, shipped weights and fits as the structs of `profile_schemas.py`."""

from datetime import UTC, datetime

import msgspec

from clpips.models.metric.weights import LayerWeights
from clpips.service.storage.records import Profile, Version
from clpips.service.wire.profile_schemas import FitInfo, ProfileDetail, ProfileSummary, Taught, VersionInfo


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
    in_use = version.number == profile.current_version
    return VersionInfo(
        number=version.number,
        origin=version.origin,
        status="in use" if in_use else "taken" if version.taken else "proposed",
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
        unlearned=0,
        versions=[VersionInfo(1, "shipped", "in use", created)],
        next=None,
    )


def taught(profile: Profile, version: Version | None, reason: str) -> Taught:
    """What a fit changed: the profile after it, and the version that it made, if it made one."""
    fit = None if version is None else msgspec.convert(version.report, FitInfo)
    taken = version is not None and version.taken
    return Taught(
        profile=profile.name,
        version=profile.current_version,
        taken=taken,
        reason=reason,
        proposed=version.number if version is not None and not taken else None,
        before=None if fit is None else fit.parent.pair_agreement,
        after=None if fit is None else fit.agreement.pair_agreement,
        lpips=None if fit is None else fit.lpips.pair_agreement,
        rankings=profile.rankings,
        pairs=None if fit is None else fit.pairs,
    )
