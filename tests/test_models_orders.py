"""Orders that people give: each becomes ranks, or is refused with what is wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from clpips.models.rankings.orders import OrderError, competition_ranks, ranks_of_order


@given(st.permutations(range(9)))
def test_the_candidates_of_an_order_have_the_ranks_one_to_n_in_that_order(order: list[int]) -> None:
    ranks = ranks_of_order(order, 9)
    assert [ranks[index] for index in order] == list(range(1, 10))


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [1, 2, 3], [0, 1, 2, 3], []])
def test_an_order_that_does_not_name_each_candidate_once_is_refused(order: list[int]) -> None:
    with pytest.raises(OrderError, match="each of the 3 candidates, 0 to 2, exactly once"):
        ranks_of_order(order, 3)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=9).filter(lambda given: len(set(given)) > 1))
def test_ties_share_the_best_of_their_places(given: list[int]) -> None:
    np.testing.assert_array_equal(competition_ranks(given, len(given)), rankdata(given, "min"))


def test_ranks_of_other_candidates_are_refused() -> None:
    with pytest.raises(OrderError, match="a rank for each of the 3 candidates, it has 2"):
        competition_ranks([1, 2], 3)


def test_ranks_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(OrderError, match="all candidates are tied"):
        competition_ranks([4, 4, 4], 3)
