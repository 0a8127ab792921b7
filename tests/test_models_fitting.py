"""The convex recipe: what it finds, and when it declines."""

import numpy as np
import pytest

from clpips.models.fitting.convex import default_parents, fit_convex
from clpips.models.fitting.personal import fit_personal
from clpips.models.fitting.recipes import fit_with
from clpips.models.fitting.validation import NoFitError
from clpips.models.metric.backbone import TOTAL_CHANNELS
from clpips.models.rankings.pairs import (
    RankedPairs,
    expand_ranks,
    expand_votes,
    join_pairs,
    majorities,
    pairs_of_ranking,
)
from tests.support.observers import Observer, channel_distances, person, rankings_of

LPIPS = default_parents()["lpips"]


def test_a_ranking_gives_every_ordered_pair_and_none_for_ties() -> None:
    better, worse = expand_ranks([2, 1, 2, 3])
    assert set(zip(better.tolist(), worse.tolist(), strict=True)) == {(1, 0), (1, 2), (1, 3), (0, 3), (2, 3)}


def test_votes_give_a_pair_in_each_direction_that_got_any() -> None:
    better, worse, counts = expand_votes([3, 1])
    assert list(zip(better.tolist(), worse.tolist(), counts.tolist(), strict=True)) == [(0, 1, 3.0), (1, 0, 1.0)]
    assert expand_votes([4, 0])[0].tolist() == [0]


def test_a_majority_counts_by_how_far_it_is_ahead() -> None:
    z = channel_distances(np.random.default_rng(0), 3)
    rows = np.array([0, 1, 1, 2]), np.array([1, 0, 2, 1])
    pairs = RankedPairs(z, *rows, np.array([3.0, 1.0, 2.0, 2.0]), np.zeros(4, np.intp))
    decided = majorities(pairs)
    assert (decided.better.tolist(), decided.worse.tolist(), decided.counts.tolist()) == ([0], [1], [2.0])


def test_the_fit_recovers_the_order_of_a_person_without_noise() -> None:
    somebody = person(1)
    fit = fit_convex(rankings_of(somebody, targets=40, candidates=6, seed=1))
    new = rankings_of(somebody, targets=40, candidates=8, seed=2, first_target=100)
    assert fit.validation.supports
    assert new.agreement(LPIPS) < 0.9
    assert new.agreement(fit.weights) > 0.95


def test_what_cross_validation_promises_is_what_new_targets_show() -> None:
    somebody = person(2, noise=0.5)
    fit = fit_convex(rankings_of(somebody, targets=50, candidates=5, seed=3))
    new = rankings_of(somebody, targets=300, candidates=5, seed=4, first_target=100)
    assert fit.validation.agreement == pytest.approx(new.agreement(fit.weights), abs=0.04)
    assert fit.validation.parent_agreement == pytest.approx(new.agreement(LPIPS), abs=0.04)


def test_the_same_pairs_give_the_same_weights() -> None:
    pairs = rankings_of(person(3, noise=0.3), targets=12, candidates=5, seed=5)
    assert np.array_equal(fit_convex(pairs).weights, fit_convex(pairs).weights)


def test_the_order_that_pairs_come_in_does_not_matter() -> None:
    pairs = rankings_of(person(3, noise=0.3), targets=12, candidates=5, seed=5)
    shuffled = pairs.take(np.random.default_rng(0).permutation(len(pairs)))
    assert np.allclose(fit_convex(pairs).weights, fit_convex(shuffled).weights, rtol=1e-3, atol=1e-5)


def test_fitted_distances_stay_on_the_parents_scale() -> None:
    pairs = rankings_of(person(4), targets=20, candidates=6, seed=6)
    fit = fit_convex(pairs)
    assert (pairs.rows @ fit.weights).mean() == pytest.approx((pairs.rows @ LPIPS).mean(), rel=1e-5)


def test_a_person_who_judges_as_lpips_keeps_its_order() -> None:
    lpips = Observer(LPIPS, noise=0.2)
    fit = fit_convex(rankings_of(lpips, targets=40, candidates=6, seed=7))
    new = rankings_of(Observer(LPIPS), targets=60, candidates=6, seed=8, first_target=100)
    assert fit.parent == "lpips"
    assert new.agreement(fit.weights) > 0.93


def test_a_parent_that_people_agree_with_is_chosen_over_one_they_do_not() -> None:
    somebody = person(5)
    pairs = rankings_of(somebody, targets=40, candidates=6, seed=9)
    against = np.roll(somebody.weights, 500)
    assert fit_convex(pairs, {"against": against, "theirs": somebody.weights}).parent == "theirs"


def test_no_pairs_support_no_fit() -> None:
    with pytest.raises(NoFitError, match="no ordered pairs"):
        fit_convex(join_pairs([]))


def test_where_there_is_no_fit_a_recipe_gives_the_first_parent_and_the_reason() -> None:
    outcome = fit_with("convex", join_pairs([]), default_parents())
    assert (outcome.supported, outcome.parent, outcome.ridge, outcome.validation) == (False, "lpips", None, None)
    assert "no ordered pairs" in outcome.reason
    assert np.array_equal(outcome.weights, LPIPS)


def test_one_target_supports_no_fit() -> None:
    with pytest.raises(NoFitError, match="one target"):
        fit_convex(rankings_of(person(6), targets=1, candidates=10, seed=10))


def test_one_target_that_tells_candidates_apart_is_one_target() -> None:
    z = channel_distances(np.random.default_rng(0), 3)
    same, other = pairs_of_ranking(np.repeat(z[:1], 2, axis=0), [1, 2], 0), pairs_of_ranking(z[1:], [1, 2], 1)
    with pytest.raises(NoFitError, match="one target"):
        fit_personal(join_pairs([same, other]), LPIPS)


def test_rankings_against_every_channel_support_no_fit_and_say_what_was_held_out() -> None:
    z = np.linspace(0.001, 0.004, 4)[:, np.newaxis] * np.random.default_rng(0).uniform(1, 2, (6, 1, TOTAL_CHANNELS))
    rankings = [pairs_of_ranking(rows.astype(np.float32), [4, 3, 2, 1], target) for target, rows in enumerate(z)]
    with pytest.raises(NoFitError, match="favour no channel") as refused:
        fit_convex(join_pairs(rankings))
    assert refused.value.validation is not None
    assert (refused.value.validation.agreement, refused.value.validation.parent_agreement) == (0.5, 0)


def test_exact_contradictions_support_no_fit() -> None:
    pairs = rankings_of(person(7), targets=5, candidates=4, seed=11)
    both = RankedPairs(
        pairs.rows,
        np.concatenate([pairs.better, pairs.worse]),
        np.concatenate([pairs.worse, pairs.better]),
        np.tile(pairs.counts, 2),
        np.tile(pairs.targets, 2),
    )
    with pytest.raises(NoFitError, match="contradict"):
        fit_convex(both)


def test_candidates_that_look_the_same_support_no_fit() -> None:
    z = np.repeat(channel_distances(np.random.default_rng(0), 1), 3, axis=0)
    with pytest.raises(NoFitError, match="look the same"):
        fit_convex(join_pairs([pairs_of_ranking(z, [1, 2, 3], target) for target in range(4)]))


def test_dead_channels_and_identical_images_do_no_harm() -> None:
    pairs = rankings_of(person(8), targets=10, candidates=5, seed=12)
    rows = pairs.rows.copy()
    rows[:, ::7] = 0
    rows[::5] = 0
    fit = fit_convex(RankedPairs(rows, pairs.better, pairs.worse, pairs.counts, pairs.targets))
    assert fit.weights.shape == (TOTAL_CHANNELS,)
    assert np.isfinite(fit.weights).all()
    assert fit.weights.min() >= 0


def test_random_rankings_are_not_followed_far() -> None:
    rng = np.random.default_rng(13)
    sets = [pairs_of_ranking(channel_distances(rng, 5), rng.permutation(5) + 1, target) for target in range(40)]
    fit = fit_convex(join_pairs(sets))
    assert fit.validation.agreement == pytest.approx(0.5, abs=0.08)


def test_a_parent_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'short' has the shape \(3,\)"):
        fit_convex(join_pairs([]), {"short": np.ones(3, np.float32)})


def test_pairs_that_name_no_row_are_refused() -> None:
    one = np.array([5])
    with pytest.raises(ValueError, match="rows 0 to 1"):
        RankedPairs(np.zeros((2, TOTAL_CHANNELS), np.float32), one, one, np.ones(1), one)
