"""Statistics of agreement, against published values and against other ways to compute them."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import stats

from clpips.models.agreement.correlation import kendall, mean_within, spearman, within_spearman
from clpips.models.agreement.icc import cicchetti, intraclass_correlation, koo_li
from clpips.models.agreement.mid_ranks import mid_ranks
from clpips.models.agreement.pooling import pool_ranks
from clpips.models.agreement.statistic import CONFIDENCE, Statistic

SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
PEOPLE = [1, 2, 3, 4]


def test_shrout_and_fleiss_table_comes_out_as_published() -> None:
    icc = intraclass_correlation(SHROUT_FLEISS)
    assert round(icc.single.value, 2) == 0.29
    assert round(icc.average.value, 2) == 0.62


def test_the_intervals_are_those_that_are_published_for_that_table() -> None:
    # As R's psych::ICC and irr::icc print them.
    icc = intraclass_correlation(SHROUT_FLEISS)
    assert (round(icc.single.low, 3), round(icc.single.high, 3)) == (0.019, 0.761)
    assert (round(icc.average.low, 3), round(icc.average.high, 3)) == (0.071, 0.927)
    assert icc.single.p == pytest.approx(stats.f.sf(11.027, 5, 15), rel=1e-3)


def regression_icc(ratings: np.ndarray) -> tuple[float, float]:
    """ICC(2,1) and ICC(2,k) from the residual sums of squares of nested least-squares models."""
    n, k = ratings.shape
    items, raters = np.repeat(np.arange(n), k), np.tile(np.arange(k), n)
    y = ratings.ravel().astype(float)

    def residual(*columns: np.ndarray) -> float:
        design = np.column_stack([np.ones(n * k), *columns])
        fitted, *_ = np.linalg.lstsq(design, y, rcond=None)
        return float(((y - design @ fitted) ** 2).sum())

    by_item, by_rater = np.eye(n)[items][:, 1:], np.eye(k)[raters][:, 1:]
    both = residual(by_item, by_rater)
    error = both / ((n - 1) * (k - 1))
    item_square = (residual(by_rater) - both) / (n - 1)
    rater_square = (residual(by_item) - both) / (k - 1)
    item_variance, rater_variance = (item_square - error) / k, (rater_square - error) / n
    single = item_variance / (item_variance + rater_variance + error)
    of_mean = item_variance + (rater_variance + error) / k
    return single, item_variance / of_mean if of_mean > 0 else float("nan")


@given(st.integers(0, 10_000), st.integers(3, 12), st.integers(2, 5))
def test_icc_is_what_variance_components_by_regression_give(seed: int, items: int, raters: int) -> None:
    rng = np.random.default_rng(seed)
    ratings = rng.normal(size=(items, 1)) + rng.normal(size=raters) + rng.normal(size=(items, raters))
    icc = intraclass_correlation(ratings)
    expected = regression_icc(ratings)
    assert (icc.single.value, icc.average.value) == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth, covered, trials = 0.5, 0, 400
    for _ in range(trials):
        ratings = rng.normal(0, 1, (20, 1)) + rng.normal(0, 0.5, 4) + rng.normal(0, np.sqrt(0.75), (20, 4))
        icc = intraclass_correlation(ratings).single
        covered += icc.low <= truth <= icc.high
    assert 0.91 <= covered / trials <= 0.99


def test_of_two_rankings_of_four_images_the_better_is_moderate_and_the_other_poor() -> None:
    better, other = [2, 1, 4, 3], [3, 1, 2, 4]
    agreements = [intraclass_correlation(np.column_stack([PEOPLE, metric])).single.value for metric in (better, other)]
    assert [koo_li(value) for value in agreements] == ["moderate", "poor"]
    assert spearman(PEOPLE, better).value > spearman(PEOPLE, other).value


@pytest.mark.parametrize("metric", [[2, 1, 3, 4], [2, 1, 4, 3], [3, 1, 2, 4]])
def test_icc_of_the_average_flatters(metric: list[int]) -> None:
    icc = intraclass_correlation(np.column_stack([PEOPLE, metric]))
    rho = spearman(PEOPLE, metric).value
    assert icc.average.value > icc.single.value
    assert icc.average.value == pytest.approx(2 * rho / (1 + rho), abs=0.08)


@pytest.mark.parametrize("second", [[1, 2], [2, 1]])
def test_two_images_have_no_p_value_and_no_interval(second: list[int]) -> None:
    icc = intraclass_correlation(np.column_stack([[1, 2], second]))
    assert np.isnan([icc.single.p, icc.average.p, icc.single.low, icc.average.high]).all()


@pytest.mark.parametrize("statistic", [spearman, kendall])
def test_p_values_of_few_items_are_exact(statistic: Callable[..., Statistic]) -> None:
    assert statistic([1, 2, 3], [1, 2, 3]).p == pytest.approx(2 / 6)
    assert statistic([1, 2, 3, 4], [1, 2, 3, 4]).p == pytest.approx(2 / 24)
    assert statistic([1, 2, 3, 4, 5], [5, 4, 3, 2, 1]).p == pytest.approx(2 / 120)
    assert statistic([1, 2, 2], [1, 2, 2]).p == pytest.approx(2 / 3)  # two of six orders are as they are


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=12), elements=st.integers(-3, 3).map(float)))
def test_mid_ranks_are_scipys(values: NDArray[np.float64]) -> None:
    assert mid_ranks(values).tolist() == stats.rankdata(values, axis=-1).tolist()


def test_p_values_and_intervals_of_large_samples_are_scipys() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    assert spearman(x, y).p == pytest.approx(stats.spearmanr(x, y).pvalue, rel=1e-12)
    assert spearman(x, -x).p == stats.spearmanr(x, -x).pvalue == 0.0
    found = mean_within(y).mean
    assert found.p == pytest.approx(stats.ttest_1samp(y, 0).pvalue, rel=1e-12)
    interval = stats.ttest_1samp(y, 0).confidence_interval(CONFIDENCE)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-12)


def test_exact_p_values_are_scipys_where_it_has_them() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        x, y = rng.normal(size=(2, 7))
        assert kendall(x, y).p == pytest.approx(stats.kendalltau(x, y, method="exact").pvalue)


def test_a_correlation_that_is_undefined_says_why() -> None:
    assert (spearman([1, 1, 1], [1, 2, 3]).why, spearman([1, 2], [1, 2]).why) == ("all are tied", "it takes 3 images")


def test_perfect_agreement_is_one() -> None:
    icc = intraclass_correlation(np.column_stack([PEOPLE, PEOPLE]))
    assert (icc.single.value, icc.single.low, icc.single.p, icc.average.value) == (1, 1, 0, 1)


def test_a_constant_shift_costs_absolute_agreement() -> None:
    icc = intraclass_correlation(np.column_stack([PEOPLE, np.add(PEOPLE, 2)]))
    assert icc.single.value == pytest.approx(5 / 11)  # item variance 5/3, rater variance 2
    assert icc.single.p == 0


@pytest.mark.parametrize("ratings", [np.ones((4, 2)), np.zeros((1, 2)), np.zeros((3, 1))])
def test_icc_is_undefined_where_nothing_can_vary(ratings: np.ndarray) -> None:
    assert np.isnan(intraclass_correlation(ratings).single.value)


def test_ratings_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(items, raters\)"):
        intraclass_correlation([1, 2, 3])


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=30))
def test_correlations_are_scipys_with_mid_ranks(points: list[tuple[int, int]]) -> None:
    x, y = np.array(points, float).T
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert np.isnan(spearman(x, y).value)
        assert np.isnan(kendall(x, y).value)
        return
    assert spearman(x, y).value == pytest.approx(stats.pearsonr(stats.rankdata(x), stats.rankdata(y))[0])
    assert within_spearman([x], [y])[0] == pytest.approx(spearman(x, y).value)
    concordance = np.sign(np.subtract.outer(x, x)) * np.sign(np.subtract.outer(y, y))
    pairs_x, pairs_y = (np.count_nonzero(np.subtract.outer(side, side)) for side in (x, y))
    assert kendall(x, y).value == pytest.approx(concordance.sum() / np.sqrt(pairs_x * pairs_y))


def test_sets_without_a_correlation_are_counted_and_left_out_of_the_mean() -> None:
    people = [[1, 2, 3], [1, 1, 1], [1, 2, 3], [3, 2, 1]]
    within = mean_within(within_spearman(people, [[1, 2, 3], [1, 2, 3], [2, 1, 3], [3, 2, 1]]))
    assert (within.sets, within.undefined) == (3, 1)
    assert within.mean.value == pytest.approx((1 + 0.5 + 1) / 3)


def test_pooled_ranks_are_each_sets_own_and_name_where_they_came_from() -> None:
    rng = np.random.default_rng(2)
    people, metric = ([rng.normal(size=size) for size in (4, 2, 4, 3)] for _ in range(2))
    pooled = pool_ranks(people, metric)
    for number, (theirs, ours) in enumerate(zip(people, metric, strict=True)):
        chosen = pooled.sets == number
        assert pooled.people[chosen].tolist() == stats.rankdata(theirs).tolist()
        assert pooled.metric[chosen].tolist() == stats.rankdata(ours).tolist()
        assert np.concatenate(metric)[pooled.places[chosen]].tolist() == ours.tolist()
        assert pooled.within[number] == pytest.approx(stats.pearsonr(stats.rankdata(theirs), stats.rankdata(ours))[0])


def test_the_interval_of_spearman_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    rho = 6 / np.pi * np.arcsin(0.6 / 2)  # Spearman's ρ of normal pairs with correlation 0.6
    inside = 0
    for _ in range(400):
        x = rng.normal(size=60)
        interval = spearman(x, 0.6 * x + 0.8 * rng.normal(size=60))
        inside += interval.low <= rho <= interval.high
    assert 0.92 <= inside / 400 <= 0.98


@pytest.mark.parametrize(
    ("icc", "by_koo_li", "by_cicchetti"),
    [
        (0.39, "poor", "poor"),
        (0.45, "poor", "fair"),
        (0.5, "moderate", "fair"),
        (0.7, "moderate", "good"),
        (0.8, "good", "excellent"),
        (0.95, "excellent", "excellent"),
        (float("nan"), "undefined", "undefined"),
    ],
)
def test_the_words_for_an_icc(icc: float, by_koo_li: str, by_cicchetti: str) -> None:
    assert (koo_li(icc), cicchetti(icc)) == (by_koo_li, by_cicchetti)


@pytest.mark.parametrize("items", range(3, 12))
def test_exact_opposites_are_below_minus_one_alone_and_undefined_on_average(items: int) -> None:
    order = np.arange(items)
    icc = intraclass_correlation(np.column_stack([order, order[::-1]]))
    assert icc.single.value == pytest.approx(-items / (items - 2))
    assert np.isnan(icc.average.value)


def test_an_icc_below_minus_one_is_given_as_the_formula_gives_it() -> None:
    icc = intraclass_correlation(np.column_stack([np.arange(10), [3, 9, 8, 0, 7, 2, 6, 5, 4, 1]]))
    items, error = 55 / 9, 110 / 9  # mean squares; the raters' own is 0
    assert icc.single.value == pytest.approx((items - error) / (items + error - 2 * error / 10))
    assert icc.average.value == pytest.approx((items - error) / (items - error / 10)) == pytest.approx(-1.25)


@pytest.mark.parametrize("items", range(2, 12))
def test_raters_who_contradict_each_other_exactly_do_not_agree(items: int) -> None:
    order = np.arange(items)
    icc = intraclass_correlation(np.column_stack([order, order[::-1]]))
    assert not icc.single.value > 0  # negative, or NaN for two items
