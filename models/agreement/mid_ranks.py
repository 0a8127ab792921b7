"""Mid-ranks: equal values share the mean of the ranks that they take up together."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mid_ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks from 1 on along the last axis of `(…, n)`, float64 of the same shape; values are not NaN.

    As `scipy.stats.rankdata` gives them. Its module takes half a second of a processor to load, which a person who has
    taught their first ranking would wait for.

    >>> mid_ranks([0.3, 0.1, 0.3])
    array([2.5, 1. , 2.5])
    """
    given = np.asarray(values)
    order = np.argsort(given, axis=-1, kind="stable")
    ordered = np.take_along_axis(given, order, axis=-1)
    count = given.shape[-1]
    begins = np.ones(given.shape, np.bool_)  # whether a group of equal values begins here
    np.not_equal(ordered[..., 1:], ordered[..., :-1], out=begins[..., 1:])
    ends = np.ones(given.shape, np.bool_)
    ends[..., :-1] = begins[..., 1:]
    places = np.arange(count)
    first = np.maximum.accumulate(np.where(begins, places, 0), axis=-1)
    last = np.minimum.accumulate(np.where(ends, places, count)[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty(given.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=-1)
    return ranks
