"""Resampling by target set: the same statistics as computed plainly, and intervals that mean what they say."""

import numpy as np
import pytest
from numpy.typing import NDArray

from clpips.models.agreement.bootstrap import bootstrap_mean, bootstrap_ranks
from clpips.models.agreement.correlation import kendall, spearman
from clpips.models.agreement.icc import intraclass_correlation
from clpips.models.agreement.rank_tables import RANK_STATISTICS, pooled_statistics, rank_table
from clpips.models.agreement.sign_flip import sign_flip_test

VALUES = np.arange(2, 13) / 2  # every whole and half rank of six


def ranked(rng: np.random.Generator, sets: int, noise: float) -> tuple[NDArray[np.float64], ...]:
    """People's ranks, two equally noisy metrics' ranks, and set numbers, of six images a set."""
    truth = rng.normal(size=(sets, 6))

    def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (values.argsort(axis=1).argsort(axis=1) + 1).ravel().astype(np.float64)

    noisy = (ranks(truth + noise * rng.normal(size=truth.shape)) for _ in range(2))
    return ranks(truth), *noisy, np.repeat(np.arange(sets), 6)


def test_counts_give_the_same_statistics_as_the_images_themselves() -> None:
    rng = np.random.default_rng(0)
    people, metric = rng.integers(2, 13, (2, 200)) / 2  # many ties
    table = rank_table(people, metric, rng.integers(0, 9, 200), VALUES)
    icc = intraclass_correlation(np.column_stack([people, metric]))
    expected = [spearman(people, metric).value, icc.single.value, icc.average.value, kendall(people, metric).value]
    assert pooled_statistics(table.counts.sum(axis=0), VALUES) == pytest.approx(expected)


def test_counts_of_exact_opposites_leave_the_average_undefined_too() -> None:
    people = np.tile(np.arange(1.0, 7), 4)
    table = rank_table(people, 7 - people, np.repeat(np.arange(4), 6), VALUES)
    assert pooled_statistics(table.counts.sum(axis=0), VALUES) == pytest.approx([-1, -24 / 22, np.nan, -1], nan_ok=True)


def test_two_images_in_opposite_orders_have_no_icc_at_all() -> None:
    counts = rank_table(np.array([1.0, 2.0]), np.array([2.0, 1.0]), np.array([0, 0]), np.array([1, 1.5, 2])).counts
    statistics = dict(zip(RANK_STATISTICS, pooled_statistics(counts[0], np.array([1, 1.5, 2])), strict=True))
    assert np.isnan([statistics["icc2_1"], statistics["icc2_k"]]).all()
    assert (statistics["spearman"], statistics["kendall"]) == (-1, -1)


def test_a_resample_is_what_repeating_its_sets_gives() -> None:
    people, metric, _, sets = ranked(np.random.default_rng(1), 5, 1.0)
    table = rank_table(people, metric, sets.astype(np.intp), VALUES)
    weights = np.array([2, 0, 1, 1, 1])
    repeated = np.concatenate([np.flatnonzero(sets == name) for name in np.repeat(np.arange(5), weights)])
    there = pooled_statistics(np.tensordot(weights, table.counts, 1), VALUES)
    assert there[0] == pytest.approx(spearman(people[repeated], metric[repeated]).value)


def test_under_the_null_the_interval_of_a_difference_covers_zero_about_95_times_in_100() -> None:
    rng = np.random.default_rng(2)
    covered = dict.fromkeys(RANK_STATISTICS, 0)
    trials = 300
    for trial in range(trials):
        people, one, other, sets = ranked(rng, 40, 1.0)
        here, there = (rank_table(people, metric, sets.astype(np.intp), VALUES) for metric in (one, other))
        for name, (_, _, lead) in bootstrap_ranks(here, there, seed=trial, resamples=400).items():
            covered[name] += lead.low <= 0 <= lead.high
    assert all(0.91 <= count / trials <= 0.98 for count in covered.values()), covered


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(3)
    people, good, _, sets = ranked(rng, 40, 0.3)
    bad = rng.permuted(good.reshape(-1, 6), axis=1).ravel()
    here, there = (rank_table(people, metric, sets.astype(np.intp), VALUES) for metric in (good, bad))
    lead = bootstrap_ranks(here, there)["icc2_1"].lead
    assert lead.low > 0
    assert lead.p < 0.01


def test_a_metric_is_not_ahead_of_itself() -> None:
    people, metric, _, sets = ranked(np.random.default_rng(4), 12, 1.0)
    table = rank_table(people, metric, sets.astype(np.intp), VALUES)
    lead = bootstrap_ranks(table, table)["spearman"].lead
    assert (lead.value, lead.low, lead.high, lead.p) == (0, 0, 0, 1)


def test_the_bootstrap_repeats_with_its_seed() -> None:
    values, other = np.random.default_rng(5).normal(size=(2, 20))
    first, again, another = (str(bootstrap_mean(values, other, np.ones(20), seed)) for seed in (7, 7, 8))
    assert first == again  # as text: some of it is NaN, which is never equal
    assert first != another


def test_a_heavy_set_counts_for_more() -> None:
    value, _, lead = bootstrap_mean(np.array([1.0, 0.0]), np.zeros(2), np.array([3.0, 1.0]))
    assert (value.value, lead.value) == (0.75, 0.75)


def test_few_sets_are_flipped_in_every_way() -> None:
    assert sign_flip_test(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert sign_flip_test(np.array([1.0, -1.0])) == 1


def test_sign_flips_are_as_often_significant_as_they_say_under_the_null() -> None:
    rng = np.random.default_rng(6)
    rejected = np.mean([sign_flip_test(rng.normal(size=12)) <= 0.05 for _ in range(400)])
    assert 0.02 <= rejected <= 0.08


def test_many_sets_with_a_real_difference_are_significant() -> None:
    assert sign_flip_test(np.random.default_rng(7).normal(1, 1, 60)) < 0.001


def test_no_sets_have_no_p_value() -> None:
    assert np.isnan(sign_flip_test(np.zeros(0)))
