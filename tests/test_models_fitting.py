"""The convex recipe: what it finds, what it never does, and when it declines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clpips.models.fitting.convex.averaging import ANSWERS_AN_IMAGE, vote_worth
from clpips.models.fitting.convex.fit import default_parents, fit_convex
from clpips.models.fitting.convex.members import PERSONAL, RANKINGS, VOTES, WHAT, ConvexRecipe, Member
from clpips.models.fitting.convex.voted_pairs import NoFitError, voted_pairs
from clpips.models.fitting.recipes import fit_with
from clpips.models.metric.families import GROUPS, PLACES, Z_LENGTH
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.pairs import (
    RankedPairs,
    expand_ranks,
    expand_votes,
    join_pairs,
    majorities,
    pairs_of_ranking,
)
from tests.support.observers import Observer, channel_distances, person, rankings_of

BALANCED, LPIPS = default_parents()["balanced"], default_parents()["lpips"]


def two_by_two(pairs: int) -> NDArray[np.intp]:
    """The sizes of rankings with two candidates each."""
    return np.full(pairs, 2, np.intp)


def shared_rankings(rankings: int, candidates: int, seed: int = 0, images: int = 8) -> list[RankedPairs]:
    """Rankings of a few pictures, each now the target and now a candidate."""
    rng, sets = np.random.default_rng(seed), []
    for number in range(rankings):
        target = number % images
        shown = rng.choice(np.setdiff1d(np.arange(images), [target]), candidates, replace=False)
        z = channel_distances(rng, candidates)
        sets.append(pairs_of_ranking(z, person(1).rank(z, rng), target, shown.tolist()))
    return sets


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
    pairs = RankedPairs(z, *rows, np.array([3.0, 1.0, 2.0, 2.0]), np.zeros(4, np.intp), two_by_two(4))
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
    assert fit.validation.lpips_agreement == pytest.approx(new.agreement(LPIPS), abs=0.04)


def test_the_same_pairs_give_the_same_weights() -> None:
    pairs = rankings_of(person(3, noise=0.3), targets=12, candidates=5, seed=5)
    assert np.array_equal(fit_convex(pairs).weights, fit_convex(pairs).weights)


def test_the_order_that_pairs_come_in_does_not_matter() -> None:
    pairs = rankings_of(person(3, noise=0.3), targets=12, candidates=5, seed=5)
    shuffled = pairs.take(np.random.default_rng(0).permutation(len(pairs)))
    assert np.allclose(fit_convex(pairs).weights, fit_convex(shuffled).weights, rtol=1e-3, atol=1e-5)


def test_fitted_distances_stay_on_the_parents_scale() -> None:
    pairs = rankings_of(person(4), targets=20, candidates=6, seed=6)
    fit = fit_convex(pairs, LPIPS)
    assert (pairs.rows @ fit.weights).mean() == pytest.approx((pairs.rows @ LPIPS).mean(), rel=1e-5)


def test_a_person_who_judges_as_lpips_keeps_its_order() -> None:
    lpips = Observer(LPIPS, noise=0.2)
    fit = fit_convex(rankings_of(lpips, targets=40, candidates=6, seed=7), LPIPS)
    new = rankings_of(Observer(LPIPS), targets=60, candidates=6, seed=8, first_target=100)
    assert new.agreement(fit.weights) > 0.93


def test_a_parent_that_people_agree_with_is_the_better_start() -> None:
    somebody = person(5)
    pairs = rankings_of(somebody, targets=4, candidates=6, seed=9)
    new = rankings_of(somebody, targets=60, candidates=6, seed=10, first_target=100)
    theirs, against = (fit_convex(pairs, parent) for parent in (somebody.weights, np.roll(somebody.weights, 500)))
    assert new.agreement(theirs.weights) > new.agreement(against.weights)


def test_the_weights_are_the_average_of_fits_at_several_strengths() -> None:
    fit = fit_convex(rankings_of(person(1), targets=5, candidates=6, seed=1), None, VOTES)
    assert fit.shares.sum() == pytest.approx(1)
    assert len(fit.members) == len([member for member in VOTES.members if not member.same_thing])
    assert np.allclose(fit.shares @ fit.members, fit.weights, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("recipe", [PERSONAL, VOTES], ids=["personal", "votes"])
def test_the_order_of_rankings_and_of_their_candidates_does_not_matter(recipe: ConvexRecipe) -> None:
    rng = np.random.default_rng(0)
    z, ranks = channel_distances(rng, 6 * 5).reshape(6, 5, Z_LENGTH), [rng.permutation(5) + 1 for _ in range(6)]
    images = [rng.choice(np.arange(10, 20), 5, replace=False) for _ in range(6)]
    sets = [pairs_of_ranking(z[n], ranks[n], n, images[n].tolist()) for n in range(6)]
    turned = [pairs_of_ranking(z[n][::-1], ranks[n][::-1], n, images[n][::-1].tolist()) for n in range(6)]
    here, there = fit_convex(join_pairs(sets), None, recipe), fit_convex(join_pairs(turned[::-1]), None, recipe)
    assert np.allclose(here.weights, there.weights, rtol=0.01, atol=1e-4 * here.weights.max())
    assert here.validation.agreement == pytest.approx(there.validation.agreement, abs=1e-9)


@given(st.integers(1, 4), st.integers(2, 5), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_nothing_is_ever_negative_or_undefined(rankings: int, candidates: int, seed: int) -> None:
    try:
        fit = fit_convex(join_pairs(shared_rankings(rankings, candidates, seed)), None, PERSONAL)
    except NoFitError as error:
        reason = "one target" if rankings == 1 else "can be held out"
        assert reason in str(error)  # noqa: PT017 - what else it may be is asked of other tests
        return
    found = fit.validation
    assert (fit.weights >= 0).all()
    assert np.isfinite(fit.weights).all()
    assert np.isfinite([found.agreement, found.parent_agreement, found.lpips_agreement]).all()
    assert all(
        np.isfinite(one.value) for side in (found.parent, found.lpips) for one in (side.agreement, side.likelihood)
    )


@pytest.mark.parametrize("seed", range(6))
def test_three_rankings_of_three_pictures_leave_no_layer_with_more_than_half_of_the_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.gamma(1, 1, (9, Z_LENGTH)) * np.abs(BALANCED).max() / BALANCED  # as far by every channel, at `balanced`
    rows = (rows / rows.mean()).astype(np.float32)
    sets = [pairs_of_ranking(rows[3 * n : 3 * n + 3], rng.permutation(3) + 1, n) for n in range(3)]
    weights = fit_convex(join_pairs(sets), None, PERSONAL).weights
    parts = np.array([rows.mean(axis=0)[group.place] @ weights[group.place] for group in GROUPS])
    assert (parts / parts.sum()).max() < 0.5


def test_what_is_held_out_is_images_where_they_recur_and_the_guard_says_so() -> None:
    fit = fit_convex(join_pairs(shared_rankings(8, 5)), None, PERSONAL)
    assert fit.validation.unit == "images"
    assert fit.validation.words == "images not seen"


def test_a_person_who_judges_at_random_gets_no_version() -> None:
    taken = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        sets = [pairs_of_ranking(channel_distances(rng, 6), rng.permutation(6) + 1, n) for n in range(6)]
        taken.append(fit_convex(join_pairs(sets), None, PERSONAL).validation.taken)
    assert sum(taken) <= 2


def test_one_ranking_is_judged_on_candidates_and_has_an_error() -> None:
    fit = fit_convex(rankings_of(person(1), targets=1, candidates=10, seed=1), None, PERSONAL)
    assert fit.validation.unit == "candidates"
    assert fit.validation.parent.likelihood.error > 0
    assert fit.blind == {}


def test_choices_between_two_and_rankings_have_recipes_of_their_own() -> None:
    two, five = (rankings_of(person(1), targets=6, candidates=count, seed=1) for count in (2, 5))
    assert np.array_equal(fit_convex(two).weights, fit_convex(two, None, VOTES).weights)
    assert np.array_equal(fit_convex(five).weights, fit_convex(five, None, RANKINGS).weights)


def test_no_pairs_support_no_fit() -> None:
    with pytest.raises(NoFitError, match="no ordered pairs"):
        fit_convex(join_pairs([]))


def test_where_there_is_no_fit_a_recipe_gives_the_first_parent_and_the_reason() -> None:
    outcome = fit_with("convex", join_pairs([]), load_weights("lpips"))
    assert (outcome.supported, outcome.parent, outcome.validation) == (False, "lpips", None)
    assert "no ordered pairs" in outcome.reason
    assert np.array_equal(outcome.weights, LPIPS)


def test_one_target_supports_no_fit() -> None:
    with pytest.raises(NoFitError, match="one target"):
        fit_convex(rankings_of(person(6), targets=1, candidates=10, seed=10))


def test_one_target_that_tells_candidates_apart_is_one_target() -> None:
    z = channel_distances(np.random.default_rng(0), 3)
    same, other = pairs_of_ranking(np.repeat(z[:1], 2, axis=0), [1, 2], 0), pairs_of_ranking(z[1:], [1, 2], 1)
    with pytest.raises(NoFitError, match="one target"):
        fit_convex(join_pairs([same, other]), LPIPS, PERSONAL)


@pytest.mark.parametrize("recipe", [PERSONAL, VOTES], ids=["personal", "votes"])
def test_rankings_against_every_channel_support_no_fit(recipe: ConvexRecipe) -> None:
    z = np.linspace(0.001, 0.004, 4)[:, np.newaxis] * np.random.default_rng(0).uniform(1, 2, (40, 1, Z_LENGTH))
    rankings = [pairs_of_ranking(rows.astype(np.float32), [4, 3, 2, 1], target) for target, rows in enumerate(z)]
    with pytest.raises(NoFitError, match="favour no channel"):
        fit_convex(join_pairs(rankings), None, recipe)


def test_exact_contradictions_support_no_fit() -> None:
    pairs = rankings_of(person(7), targets=5, candidates=4, seed=11)
    both = RankedPairs(
        pairs.rows,
        np.concatenate([pairs.better, pairs.worse]),
        np.concatenate([pairs.worse, pairs.better]),
        np.tile(pairs.counts, 2),
        np.tile(pairs.targets, 2),
        np.tile(pairs.sizes, 2),
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
    fit = fit_convex(RankedPairs(rows, pairs.better, pairs.worse, pairs.counts, pairs.targets, pairs.sizes))
    assert fit.weights.shape == (Z_LENGTH,)
    assert np.isfinite(fit.weights).all()
    assert fit.weights.min() >= 0


def test_random_rankings_are_not_followed_far() -> None:
    rng = np.random.default_rng(13)
    sets = [pairs_of_ranking(channel_distances(rng, 5), rng.permutation(5) + 1, target) for target in range(40)]
    fit = fit_convex(join_pairs(sets))
    assert fit.validation.agreement == pytest.approx(0.5, abs=0.08)


def test_a_parent_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the parent has the shape \(3,\)"):
        fit_convex(join_pairs([]), np.ones(3, np.float32))


def test_pairs_that_name_no_row_are_refused() -> None:
    one = np.array([5])
    with pytest.raises(ValueError, match="rows 0 to 1"):
        RankedPairs(np.zeros((2, Z_LENGTH), np.float32), one, one, np.ones(1), one, one)


def test_a_fit_of_some_families_has_no_weight_in_the_others() -> None:
    pairs = join_pairs(shared_rankings(6, 5))
    for name in WHAT:
        pairs.rows[:, PLACES[name]] = np.random.default_rng(0).gamma(0.7, 0.01, pairs.rows[:, PLACES[name]].shape)
    alone = replace(RANKINGS, members=(Member(WHAT, 1.0, 1.0),))
    weights = fit_convex(pairs, recipe=alone).weights
    counted = {name for name, place in PLACES.items() if weights[place].any()}
    assert counted == set(WHAT)


def test_families_that_nothing_is_known_of_leave_the_average() -> None:
    pairs = join_pairs(shared_rankings(6, 5))
    assert not any(pairs.rows[:, PLACES[name]].any() for name in WHAT)
    fit = fit_convex(pairs, recipe=RANKINGS)
    assert len(fit.members) == sum(member.families not in {WHAT, None} for member in RANKINGS.members)
    assert fit.shares.sum() == pytest.approx(1)


def test_thousands_of_votes_about_few_images_count_as_many_as_the_images_allow() -> None:
    rng = np.random.default_rng(0)
    few, many = (join_pairs([two_of_ten(rng) for _ in range(count)]) for count in (50, 1000))
    assert vote_worth(voted_pairs(few)) == 1
    assert vote_worth(voted_pairs(many)) == pytest.approx(ANSWERS_AN_IMAGE * 10 / 1000)


def two_of_ten(rng: np.random.Generator) -> RankedPairs:
    """Somebody's choice between two of ten pictures, a third of which is the target."""
    target, first, second = rng.choice(10, 3, replace=False).tolist()
    return pairs_of_ranking(channel_distances(rng, 2), [1, 2], target, [first, second])
