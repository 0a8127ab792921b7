"""Guard: a fit beside its parent and LPIPS on what was held out, and whether its lead is more than noise would give.

Two leads over each are looked at. The share of votes that it agrees with is what people understand, and it must be
larger. The log-likelihood of a vote, with the logistic function of the gap as its probability, also counts by how much
a metric is right or wrong, and tells good fits from lucky ones with fewer rankings: its lead must be more than noise
would give.

Standard errors are cluster-robust: answers about one target hang together, and with one target answers about one
candidate; with two to four targets the larger error of the two counts. (Of targets: the ratio estimator of survey
sampling, Cochran, "Sampling Techniques", 1977. Of candidates: the dyadic-robust error of Aronow, Samii and Assenova,
Political Analysis 23, 2015.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from clpips.models.fitting.convex.arrays import Indices, Vector
from clpips.models.fitting.convex.averaging import Asked, average_shares, logistic_losses
from clpips.models.fitting.convex.folds import Fold, Unit
from clpips.models.fitting.convex.voted_pairs import VotedPairs

GUARD_ERRORS: Final = 1.0  # standard errors that a lead in log-likelihood must be more than
GUARD_ERRORS_HALF: Final = 0.5  # the same where folds learn from about half of it all: their lead comes out small
HALF: Final = 0.6  # of the comparisons, up to which that is so
FEW_CLUSTERS: Final = 5  # targets below which their spread alone tells little of the error
TELLING: Final = 2.0  # standard errors behind the parent that are no chance
SCALES: Final = np.geomspace(0.1, 40, 25)  # scores of a typical held-out gap at which likelihoods are tried


@dataclass(frozen=True)
class Lead:
    """By how much a fit is better than something else on the held-out votes: the mean of a vote.

    In a share of votes, in [−1, 1], or in log-likelihood, in nats.
    """

    value: float
    error: float  # standard error; NaN where it cannot be told

    def exceeds(self, errors: float) -> bool:
        """Whether it is more than so many standard errors. A tie is not, nor is a lead without an error."""
        return self.value > 0 and self.value > errors * self.error

    @property
    def errors(self) -> float:
        """How many standard errors it is; NaN where there is no error."""
        return self.value / self.error if self.error > 0 else float("nan")


@dataclass(frozen=True)
class Rivalry:
    """A fit beside one other metric: by how much it leads in agreement, and in log-likelihood."""

    agreement: Lead
    likelihood: Lead

    def won(self, errors: float) -> bool:
        """Whether the fit agrees more often, and its likelihood leads by more than so many standard errors."""
        return self.agreement.value > 0 and self.likelihood.exceeds(errors)


@dataclass(frozen=True, kw_only=True)
class Validation:
    """What cross-validation found of a fit, of its parent and of LPIPS.

    The agreements are shares of the held-out votes, in [0, 1]; `unit` says what was held out, of `targets` targets.
    A fold learned from the share `learned` of the comparisons, on average.
    """

    agreement: float
    parent_agreement: float
    lpips_agreement: float
    parent: Rivalry
    lpips: Rivalry
    unit: Unit
    targets: int
    learned: float

    @property
    def least_errors(self) -> float:
        """How many standard errors a lead in log-likelihood must be more than.

        Where the parent is LPIPS there is one rival, and luck is enough once: nothing is taken off then.
        """
        lenient = self.unit == "images" and self.learned <= HALF and self.parent != self.lpips
        return GUARD_ERRORS_HALF if lenient else GUARD_ERRORS

    @property
    def taken(self) -> bool:
        """Whether the fit is better than its parent and than LPIPS, by more than noise would give.

        >>> sure, unsure = (Rivalry(Lead(0.03, 0.02), Lead(0.01, error)) for error in (0.005, 0.04))
        >>> found = {"agreement": 0.6, "parent_agreement": 0.5, "lpips_agreement": 0.5, "unit": "images"}
        >>> found |= {"targets": 3, "learned": 0.5}
        >>> [Validation(parent=sure, lpips=other, **found).taken for other in (sure, unsure)]
        [True, False]
        """
        return self.ahead(self.least_errors)

    def ahead(self, errors: float) -> bool:
        """The same by a guard of so many standard errors."""
        return self.parent.won(errors) and self.lpips.won(errors)

    @property
    def supports(self) -> bool:
        """Whether the fit is not tellingly worse than its parent."""
        lead = self.parent.agreement
        return lead.value >= -(TELLING * lead.error if np.isfinite(lead.error) else 0.0)

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
    asked = np.concatenate([np.flatnonzero(fold.asked) for fold in folds])  # (a,), a comparison once for each fold
    said = [answers[place].gaps @ blind_shares(answers, place, usual, temper) for place in range(len(folds))]
    theirs = distances[compared.high[asked]] - distances[compared.low[asked]]  # (a, 2)
    gaps = np.column_stack([np.concatenate(said), theirs])  # (a, 3): the fit's, the parent's, LPIPS's
    agreeing = compared.agreeing(gaps, asked)  # (a, 3)
    likelihoods = _likelihoods(compared.votes_for[asked], compared.votes_against[asked], gaps)  # (a, 3)
    fit, parent, lpips = agreeing.sum(axis=0) / compared.votes[asked].sum()
    rivalries = [
        Rivalry(*(_lead(compared, unit, asked, each[:, 0] - each[:, rival]) for each in (agreeing, likelihoods)))
        for rival in (1, 2)
    ]
    return Validation(
        agreement=float(fit),
        parent_agreement=float(parent),
        lpips_agreement=float(lpips),
        parent=rivalries[0],
        lpips=rivalries[1],
        unit=unit,
        targets=len(np.unique(compared.targets[asked])),
        learned=float(np.mean([fold.learned.mean() for fold in folds])),
    )


def blind_shares(answers: Sequence[Asked], fold: int, usual: Vector, temper: float) -> Vector:
    """What each fit counts by all folds but this one: `(k,)`."""
    return average_shares(usual, [asked.losses for place, asked in enumerate(answers) if place != fold], temper)


def _likelihoods(votes_for: Vector, votes_against: Vector, gaps: Vector) -> Vector:
    """Log-likelihoods of votes, `(a,)`, by gaps, `(a, k)`, of k metrics, each at the one scale that suits it best."""
    scores = gaps / (np.sqrt(np.mean(gaps**2, axis=0)) + np.finfo(float).tiny)  # (a, k)
    scores *= SCALES[logistic_losses(votes_for, votes_against, scores, SCALES).argmin(axis=1)]
    surprise = (votes_for + votes_against)[:, np.newaxis] * np.logaddexp(0, -scores)  # (a, k)
    return np.asarray(-surprise - votes_against[:, np.newaxis] * scores)


def _lead(compared: VotedPairs, unit: Unit, asked: Indices, ahead: Vector) -> Lead:
    """The mean of a vote, of what one metric is ahead of another in the comparisons that were asked about, `(a,)`."""
    votes = np.bincount(asked, compared.votes[asked], len(compared))  # (m,), over all folds
    lead = float(ahead.sum() / votes.sum())
    off = np.bincount(asked, ahead, len(compared)) - lead * votes  # (m,)
    by_target = _sums(compared.targets[votes > 0], off[votes > 0])
    low, high = compared.low_images, compared.high_images
    by_candidate = _sums(np.concatenate([low, high]), np.tile(off, 2))  # a comparison is in two
    variances = []
    if unit != "candidates":
        variances.append(_corrected(float(by_target @ by_target), len(by_target)))
    if unit == "candidates" or len(by_target) < FEW_CLUSTERS:
        among = float(by_candidate @ by_candidate - off @ off)
        variances.append(_corrected(max(among, float(off @ off)), len(by_candidate)))
    return Lead(lead, float(np.sqrt(np.max(variances)) / votes.sum()))


def _corrected(variance: float, clusters: int) -> float:
    """A sum over few clusters, as large as that over many would be; NaN for a single one."""
    return variance * clusters / (clusters - 1) if clusters > 1 else float("nan")


def _sums(keys: Indices, values: Vector) -> Vector:
    """The sum of the values of each key."""
    _, which = np.unique(keys, return_inverse=True)
    return np.bincount(which, values).astype(np.float64)
