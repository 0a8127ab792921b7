"""Ranks of candidates from what a person says of them: their order, or ranks that they wrote themselves."""

from collections.abc import Sequence


class OrderError(ValueError):
    """What a person says of candidates is no order of them; the message says what is wrong."""


def ranks_of_order(order: Sequence[int], count: int) -> list[int]:
    """Ranks `(count,)`, 1 for the most similar, of candidates whose indices `order` names, the most similar first.

    Raises `OrderError` where it does not name each exactly once.

    >>> ranks_of_order([2, 0, 1], 3)
    [2, 3, 1]
    """
    if sorted(order) != list(range(count)):
        raise OrderError(f"it must name each of the {count} candidates, 0 to {count - 1}, exactly once")
    ranks = [0] * count  # (count,)
    for rank, index in enumerate(order, start=1):
        ranks[index] = rank
    return ranks


def competition_ranks(given: Sequence[int], count: int) -> list[int]:
    """Standard competition ranking `(count,)`: ties share the best of their places, and the places after it stay free.

    Raises `OrderError` where candidates have no rank, or all the same.

    >>> competition_ranks([5, 1, 5, 7], 4)
    [2, 1, 2, 4]
    """
    if len(given) != count:
        raise OrderError(f"it must have a rank for each of the {count} candidates, it has {len(given)}")
    if len(set(given)) == 1:
        raise OrderError("all candidates are tied: there is nothing to learn from that")
    return [1 + sum(other < rank for other in given) for rank in given]  # (count,)
