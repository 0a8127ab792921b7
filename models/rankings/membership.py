"""Training-set membership of a data set: hashes of its rankings and images, and how many of them weights have seen.

An image is known by the hash of its bytes: a mere name may mean another image in another file.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from clpips.models.metric.trained_on import TrainedOn, short_hash
from clpips.models.rankings.files import Ranking
from clpips.models.rankings.measured import MeasuredRankings

HASHED: Final = "sha256:"  # how the name of an image begins whose bytes are known


@dataclass(frozen=True)
class Seen:
    """The shares, in [0, 1], of a data set's rankings and images that weights were fitted to."""

    rankings: float
    images: float

    def __bool__(self) -> bool:
        return self.rankings > 0 or self.images > 0

    @property
    def words(self) -> str:
        """What was seen, for people.

        >>> Seen(rankings=0.0, images=0.5).words
        '0 % of these rankings and 50 % of these images'
        """
        return f"{_percent(self.rankings)} of these rankings and {_percent(self.images)} of these images"


def hash_data_set(measured: MeasuredRankings) -> TrainedOn:
    """The hashes of all rankings, and of all images whose bytes are known."""
    names = [measured.names_of(place) for place in range(len(measured.rankings))]
    return TrainedOn(
        frozenset(_hash_measured(ranking, own) for ranking, own in zip(measured.rankings, names, strict=True)),
        hash_images({name for own in names for name in own}),
    )


def hash_images(names: Iterable[str]) -> frozenset[bytes]:
    """The hashes of those images whose bytes are known."""
    return frozenset(short_hash(name) for name in names if name.startswith(HASHED))


def hash_ranking(target: str, candidates: Sequence[str], said: Sequence[float], rater: str) -> bytes:
    """Who said what (ranks or votes) of which images, whatever the order of the candidates."""
    judged = sorted((name, float(number)) for name, number in zip(candidates, said, strict=True))
    return short_hash(json.dumps([target, judged, rater]))


def share_seen(trained_on: TrainedOn, measured: MeasuredRankings) -> Seen:
    """How much of a data set is among what weights were fitted to."""
    own = hash_data_set(measured)
    return Seen(
        len(own.rankings & trained_on.rankings) / max(len(own.rankings), 1),
        len(own.images & trained_on.images) / max(len(own.images), 1),
    )


def _hash_measured(ranking: Ranking, names: list[str]) -> bytes:
    """The hash of a ranking; its images without a hash stand in it by their `z`."""
    said = ranking.ranks if ranking.ranks is not None else ranking.votes or ()
    candidates = names[1:]
    if ranking.z is not None and not all(name.startswith(HASHED) for name in names[1:] or [""]):
        candidates = [hashlib.sha256(row.tobytes()).hexdigest() for row in ranking.z]
    return hash_ranking(names[0], candidates, said, ranking.rater)


def _percent(share: float) -> str:
    """Rounded, but never to 0 or to all where it is neither."""
    if 0 < share < 0.005:
        return "under 1 %"
    return f"{min(100 * share, 99 if share < 1 else 100):.0f} %"
