"""People that the tests make up: each knows the weights that it judges by, and judges with Gumbel noise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from clpips.models.metric.backbone import LAYERS
from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.pairs import RankedPairs, join_pairs, pairs_of_ranking


@dataclass(frozen=True, eq=False)
class Observer:
    """Ranks by `weights · z` plus Gumbel noise of scale `noise`, in units of the candidates' spread of distance.

    Differences of Gumbel draws are logistic: pairs are chosen as Bradley and Terry's model has it.
    """

    weights: NDArray[np.float32]
    noise: float = 0.0

    def rank(self, z: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float64]:
        """Ranks `(k,)` of candidates with these channel distances `(k, 3456)`, 1 most similar."""
        distances = z.astype(np.float64) @ self.weights
        return np.asarray(rankdata(distances + self.noise * distances.std() * rng.gumbel(size=len(z))))


def person(seed: int, noise: float = 0.0) -> Observer:
    """Somebody to whom other layers and some other channels matter than to LPIPS."""
    rng = np.random.default_rng(seed)
    weights = load_weights("lpips").values.astype(np.float64)
    for layer in LAYERS:
        weights[layer] *= 10 ** rng.uniform(-1.5, 0.5)
    return Observer((weights * rng.gamma(0.5, 2.0, Z_LENGTH)).astype(np.float32), noise)


def channel_distances(rng: np.random.Generator, candidates: int) -> NDArray[np.float32]:
    """Channel distances of candidates from one target: forty causes of difference, each in one layer's channels."""
    causes = np.zeros((8 * len(LAYERS), Z_LENGTH))
    for cause, row in enumerate(causes):
        layer = LAYERS[cause % len(LAYERS)]
        row[layer] = np.random.default_rng(cause).gamma(0.3, 0.5 / len(row[layer]), len(row[layer]))
    return (rng.gamma(0.7, 1.0, (candidates, len(causes))) @ causes).astype(np.float32)


def rankings_of(observer: Observer, targets: int, candidates: int, seed: int, first_target: int = 0) -> RankedPairs:
    """One ranking of new candidates for each of so many targets, as pairs."""
    rng = np.random.default_rng(seed)
    sets = []
    for target in range(first_target, first_target + targets):
        z = channel_distances(rng, candidates)
        sets.append(pairs_of_ranking(z, observer.rank(z, rng), target))
    return join_pairs(sets)
