"""p-values under chance alone: permutations of a metric's distances, sign flips of targets and of people."""

from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from clpips.models.agreement.clusters import Clusters, cluster_rankings
from clpips.models.agreement.permutation import permutation_test
from clpips.models.agreement.sign_flip import combine_two_ways, flip_clusters
from loadtest.false_positives import COLUMNS, Design, simulate

TRIALS = 150


@pytest.mark.parametrize("design", [Design(20, 2, 1), Design(3, 5, 1), Design(9, 3, 1), Design(8, 4, 8)], ids=str)
def test_chance_is_called_significant_about_five_times_in_a_hundred(design: Design) -> None:
    rates = simulate(design, TRIALS, seed=1)
    highest = stats.binom.ppf(0.999, TRIALS, 0.05) / TRIALS
    for name in COLUMNS:
        rate = rates.rate(name)
        if rate is None:
            assert design.targets < 6, "with six targets a lead can be significant"
        else:
            assert rate <= highest, (name, rate)
    assert all(rates.rate(name) != 0 for name in COLUMNS[:2])


def test_people_who_lean_to_a_metric_by_chance_are_a_lead_where_they_are_taken_for_independent() -> None:
    # What the two-way clusters are for: with targets alone the same studies are significant far too often.
    rng, rejected = np.random.default_rng(0), {"targets": 0, "both": 0}
    targets, people = (grid.ravel() for grid in np.meshgrid(np.arange(12), np.arange(8), indexing="ij"))
    for trial in range(100):
        leads = rng.normal(size=8)[people] + rng.normal(size=len(people))  # (c,)
        for name, clusters in (("targets", Clusters(targets)), ("both", Clusters(targets, people))):
            p = flip_clusters(partial(_sums, leads), clusters, trial, 199)
            rejected[name] += bool(p[0] <= 0.05)
    assert rejected["targets"] > 40
    assert rejected["both"] <= 11


def _sums(leads: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(signs @ leads[:, np.newaxis])


def test_p_values_of_two_ways_are_never_below_either() -> None:
    p = np.random.default_rng(0).random((3, 200))
    assert (combine_two_ways(*p) >= p[:2].max(axis=0)).all()


def test_two_targets_of_three_images_are_permuted_in_every_way() -> None:
    order = np.array([1.0, 2.0, 3.0])
    test = permutation_test([order, order], [order, order], np.array([0, 1]))
    assert test.smallest == test.within == pytest.approx(2 / 36)


def test_rankings_that_share_candidates_see_the_same_permutation() -> None:
    order = np.array([1.0, 2.0, 3.0])
    test = permutation_test([order] * 9, [order] * 9, np.zeros(9, np.intp))
    assert test.pooled[0] == pytest.approx(2 / 6)


def test_sets_of_one_target_that_share_no_image_are_permuted_apart() -> None:
    order = np.array([1.0, 2.0, 3.0])
    test = permutation_test([order, order], [order, order + 10], np.zeros(2, np.intp))
    assert test.within == pytest.approx(2 / 36)


def test_a_metric_that_ties_everything_has_no_p_value() -> None:
    test = permutation_test([np.array([1.0, 2.0])], [np.zeros(2)], np.zeros(1, np.intp))
    assert np.isnan(test.pooled[0])
    assert test.smallest == 1


def test_people_count_where_every_ranking_names_one() -> None:
    targets = np.arange(8)
    named = [f"p{number}" for number in range(8)]
    assert cluster_rankings(targets, named)[0].people_count == 8
    assert cluster_rankings(targets, ["", *named[1:]])[0].people_count is None
