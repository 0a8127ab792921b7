"""Within-set ranks pooled over sets: what the pooled statistics and the means within sets are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.correlation import within_spearman
from clpips.models.agreement.mid_ranks import mid_ranks
from clpips.models.agreement.statistic import NAN


@dataclass(frozen=True, eq=False)
class PooledRanks:
    """Mid-ranks, within their own sets, of the n items of m sets.

    `people` and `metric`, float64 `(n,)`, are the ranks; `sets`, intp `(n,)`, is each item's set, and `places`, intp
    `(n,)`, its place among all items when the sets are laid end to end; `within`, float64 `(m,)`, is Spearman's ρ of
    each set, NaN where it has none. Items come in the order of their sets' sizes.
    """

    people: NDArray[np.float64]
    metric: NDArray[np.float64]
    sets: NDArray[np.intp]
    places: NDArray[np.intp]
    within: NDArray[np.float64]


def pool_ranks(people: Sequence[NDArray[np.float64]], metric: Sequence[NDArray[np.float64]]) -> PooledRanks:
    """Rank each of m sets by people and by a metric: `people[i]` and `metric[i]` are `(k,)`, smaller is more similar.

    >>> ranks = pool_ranks([np.array([1, 2, 3])], [np.array([0.1, 0.5, 0.3])])
    >>> ranks.metric, ranks.within
    (array([1., 3., 2.]), array([0.5]))
    """
    sizes = np.array([len(order) for order in people], np.intp)  # (m,)
    starts = np.cumsum(sizes) - sizes  # (m,)
    within = np.full(len(sizes), NAN)  # (m,)
    by_people, by_metric, sets, places = [], [], [], []
    for size in np.unique(sizes):  # sets of one size are ranked at once
        members = np.flatnonzero(sizes == size)  # (s,)
        theirs = np.stack([people[member] for member in members.tolist()])  # (s, k)
        ours = np.stack([metric[member] for member in members.tolist()])  # (s, k)
        within[members] = within_spearman(theirs, ours)
        by_people.append(mid_ranks(theirs).ravel())
        by_metric.append(mid_ranks(ours).ravel())
        sets.append(np.repeat(members, size))
        places.append((starts[members][:, np.newaxis] + np.arange(size)).ravel())
    return PooledRanks(
        people=np.concatenate(by_people),
        metric=np.concatenate(by_metric),
        sets=np.concatenate(sets),
        places=np.concatenate(places),
        within=within,
    )
