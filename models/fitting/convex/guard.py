"""Guard: a fit beside its parent and LPIPS on what was held out, and whether its lead is more than noise would give.

The standard error of the lead is cluster-robust: answers about one target hang together, and with one target answers
about one candidate. (Of targets: the ratio estimator of survey sampling, Cochran, "Sampling Techniques", 1977. Of
candidates: the dyadic-robust error of Aronow, Samii and Assenova, Political Analysis 23, 2015.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from clpips.models.fitting.convex.averaging import Asked, average_shares
from clpips.models.fitting.convex.folds import Fold, Unit
from clpips.models.fitting.convex.solver import Indices, Vector
from clpips.models.fitting.convex.voted_pairs import VotedPairs

GUARD_ERRORS: Final = 1.0  # standard errors that a lead must be more than
TELLING: Final = 2.0  # standard errors behind the parent that are no chance


@dataclass(frozen=True)
class Lead:
    """By how much larger a share of the held-out votes a fit agrees with than something else does."""

    value: float
    error: float  # standard error; NaN where it cannot be told

    @property
    def clear(self) -> bool:
        """Whether it is more than noise would give. A tie is not, nor is a lead without an error."""
        return self.value > 0 and self.value > GUARD_ERRORS * self.error


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What cross-validation found of a fit, of its parent and of LPIPS.

    The agreements are shares of the held-out votes, in [0, 1]; `unit` says what was held out, of `targets` targets.
    """

    agreement: float
    parent_agreement: float
    lpips_agreement: float
    lead: Lead
    lpips_lead: Lead
    unit: Unit
    targets: int

    @property
    def taken(self) -> bool:
        """Whether the fit is better than its parent and than LPIPS, by more than noise would give.

        >>> sure, unsure = Lead(0.03, 0.01), Lead(0.03, 0.04)
        >>> found = {"agreement": 0.6, "parent_agreement": 0.6, "lpips_agreement": 0.6, "unit": "images", "targets": 4}
        >>> [Validation(lead=sure, lpips_lead=other, **found).taken for other in (sure, unsure)]
        [True, False]
        """
        return self.lead.clear and self.lpips_lead.clear

    @property
    def supports(self) -> bool:
        """Whether the fit is not tellingly worse than its parent."""
        behind = TELLING * self.lead.error if np.isfinite(self.lead.error) else 0.0
        return self.lead.value >= -behind

    @property
    def words(self) -> str:
        """What was held out, as figures name it: "images not seen"."""
        return f"{self.unit} not seen"


def validate(
    compared: VotedPairs,
    folds: Sequence[Fold],
    unit: Unit,
    answers: Sequence[Asked],
    usual: Vector,
    temper: float,
    rivals: Vector,
) -> Validation:
    """Judge fits by folds that they have not seen; `rivals`, `(2, c)`, are the parent and LPIPS.

    Each fold is answered by the average with the shares that the other folds give: so which fits count has not seen
    the fold either.
    """
    distances = (compared.rows @ rivals.T.astype(np.float32)).astype(np.float64)  # (r, 2)
    agreeing = np.zeros((len(compared), 3))  # (m, 3): the fit's, the parent's, LPIPS's, over all folds
    votes = np.zeros(len(compared))  # (m,)
    for place, fold in enumerate(folds):
        shares = blind_shares(answers, place, usual, temper)  # (k,)
        theirs = distances[compared.high[fold.asked]] - distances[compared.low[fold.asked]]  # (asked, 2)
        gaps = np.column_stack([answers[place].gaps @ shares, theirs])  # (asked, 3)
        agreeing[fold.asked] += compared.agreeing(gaps, fold.asked)
        votes[fold.asked] += compared.votes[fold.asked]
    fit, parent, lpips = agreeing.sum(axis=0) / votes.sum()
    leads = [_lead(compared, unit, agreeing[:, 0] - agreeing[:, rival], votes) for rival in (1, 2)]
    return Validation(
        agreement=float(fit),
        parent_agreement=float(parent),
        lpips_agreement=float(lpips),
        lead=leads[0],
        lpips_lead=leads[1],
        unit=unit,
        targets=len(np.unique(compared.targets[votes > 0])),
    )


def blind_shares(answers: Sequence[Asked], fold: int, usual: Vector, temper: float) -> Vector:
    """What each fit counts by all folds but this one: `(k,)`."""
    return average_shares(usual, [asked.losses for place, asked in enumerate(answers) if place != fold], temper)


def _lead(compared: VotedPairs, unit: Unit, ahead: Vector, votes: Vector) -> Lead:
    """Of votes `(m,)` that one agrees with and the other does not."""
    lead = float(ahead.sum() / votes.sum())
    off = ahead - lead * votes  # (m,)
    if unit == "candidates":
        low, high = compared.low_images, compared.high_images
        clusters = _sums(np.concatenate([low, high]), np.tile(off, 2))  # a comparison is in two
        variance = max(clusters @ clusters - off @ off, off @ off)
    else:
        clusters = _sums(compared.targets[votes > 0], off[votes > 0])
        variance = clusters @ clusters
    if len(clusters) < 2:
        return Lead(lead, float("nan"))
    return Lead(lead, float(np.sqrt(variance * len(clusters) / (len(clusters) - 1)) / votes.sum()))


def _sums(keys: Indices, values: Vector) -> Vector:
    """The sum of the values of each key."""
    _, which = np.unique(keys, return_inverse=True)
    return np.bincount(which, values).astype(np.float64)
