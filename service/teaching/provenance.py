"""Provenance of a profile's weights: the rankings and images that they, and what they began as, were fitted to.

It travels in the weights file, so that nobody judges weights by what they have learned from without being told so.
"""

from clpips.models.metric.trained_on import TrainedOn
from clpips.models.rankings.membership import HASHED, hash_images, hash_ranking
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import JudgedRanking, Profile, Version


async def trained_on(store: ProfileStore, profile: Profile, version: Version) -> TrainedOn:
    """What a version was fitted to: its profile's rankings of then, and what the weights before them were.

    A ranking that has been forgotten or replaced since is not among them. Raises `StorageError`.
    """
    if version.origin != "fitted":
        return TrainedOn.of_metadata(version.report.get("trained_on", {}))
    began = await store.beginning(profile.id, version.number)
    own = [_hashes(ranking) for ranking in await store.judged_until(profile.id, version.created_at)]
    return TrainedOn.of_metadata(began.report.get("trained_on", {})) | TrainedOn(
        frozenset(one for each in own for one in each.rankings), frozenset(one for each in own for one in each.images)
    )


def as_report(known: TrainedOn) -> dict[str, dict[str, str]]:
    """What the report of a version that begins anew keeps of it: nothing, where there is nothing."""
    return {"trained_on": known.as_metadata()} if known else {}


def _hashes(ranking: JudgedRanking) -> TrainedOn:
    names = [HASHED + image for image in (ranking.target, *ranking.candidates)]
    said = hash_ranking(names[0], names[1:], ranking.ranks, ranking.rater)
    return TrainedOn(frozenset([said]), hash_images(names))
