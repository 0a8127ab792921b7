"""Ranks of candidates from what a person says of them: their whole order, its top, or ranks that they wrote themselves.

What is not said is a tie, and ties are no pairs (`pairs.py`): ranks hold exactly the pairs that were said.
"""

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


def ranks_of_top(top: Sequence[int], count: int) -> list[int]:
    """Ranks `(count,)` of candidates of which these, the most similar first, come before all the others.

    Of the others nothing is said: they are tied. One alone is the *best*. Raises `OrderError` where `top` names none,
    one that is not there, or one twice, or where there is nothing that it could come before.

    >>> ranks_of_top([3, 0], 5)
    [2, 3, 3, 1, 3]
    """
    if not top or len(set(top)) < len(top) or not set(top) <= set(range(count)):
        raise OrderError(f"it must name one or more of the {count} candidates, 0 to {count - 1}, each at most once")
    if count == 1:
        raise OrderError("there is one candidate alone: nothing comes after it")
    ranks = [len(top) + 1] * count  # (count,)
    for rank, index in enumerate(top, start=1):
        ranks[index] = rank
    return ranks


def ranks_of_groups(groups: Sequence[Sequence[int]], count: int) -> dict[int, int]:
    """Ranks of those of `count` candidates that `groups` name, by index: groups the most similar first, each of ties.

    Ties share the best of their places, and the places after it stay free. Raises `OrderError` where a candidate is
    not there, or is named twice, or where no candidate comes before another.

    >>> ranks_of_groups([[3], [0, 2], [1]], 5)
    {3: 1, 0: 2, 2: 2, 1: 4}
    """
    named = [index for group in groups for index in group]
    if len(set(named)) < len(named) or not set(named) <= set(range(count)):
        last = f", 0 to {count - 1}," if count else ""
        raise OrderError(f"it may name each of the {count} candidates{last} at most once, and no other")
    if sum(1 for group in groups if group) < 2:
        raise OrderError("no candidate comes before another: there is nothing to learn from that")
    ranks: dict[int, int] = {}
    for group in groups:
        ranks |= dict.fromkeys(group, len(ranks) + 1)
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
