"""Cross-validation: what folds hold out, and what they decide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clpips.models.fitting.validation import FOLDS, USUAL_RIDGE, Validation, choose, split_folds
from clpips.models.fitting.voted_pairs import VotedPairs
from clpips.models.rankings.pairs import RankedPairs, join_pairs
from tests.support.observers import person, rankings_of

RIDGES = (10.0, USUAL_RIDGE, 0.1)


def voted(targets: int, candidates: int, seed: int = 0) -> VotedPairs:
    return VotedPairs(rankings_of(person(seed), targets, candidates, seed))


@given(st.integers(2, 12), st.integers(2, 4))
def test_each_target_is_held_out_once_and_whole(targets: int, candidates: int) -> None:
    pairs = voted(targets, candidates)
    folds = split_folds(pairs)
    assert folds.unit == "targets"
    assert len(folds.splits) == min(FOLDS, targets)
    assert np.array_equal(np.sum([fold.held_out for fold in folds.splits], axis=0), np.ones(len(pairs)))
    for learned, held_out in folds.splits:
        assert not set(pairs.targets[learned]) & set(pairs.targets[held_out])
    assert folds.votes == pairs.votes.sum()


def test_folds_of_targets_are_about_equally_heavy() -> None:
    sizes = [rankings_of(person(1), 1, candidates, 1, first_target=candidates) for candidates in range(3, 15)]
    pairs = VotedPairs(join_pairs(sizes))
    heavy = [pairs.votes[fold.held_out].sum() for fold in split_folds(pairs).splits]
    assert max(heavy) <= 1.2 * min(heavy)


def test_of_one_target_a_fold_never_learns_from_a_candidate_that_it_is_asked_about() -> None:
    pairs = voted(1, 8)
    folds = split_folds(pairs)
    assert (folds.unit, len(folds.splits)) == ("candidates", 8)
    for learned, held_out in folds.splits:
        asked = np.stack([pairs.low, pairs.high], axis=1)[held_out]  # (pairs, 2)
        (candidate,) = set.intersection(*(set(pair) for pair in asked.tolist()))
        assert candidate not in {*pairs.low[learned], *pairs.high[learned]}
    assert folds.votes == 2 * pairs.votes.sum()  # a pair is asked about with either of its candidates


def test_votes_of_a_pair_are_merged_whichever_way_they_came() -> None:
    z = np.random.default_rng(0).gamma(1, 0.01, (2, 3456)).astype(np.float32)
    pairs = VotedPairs(RankedPairs(z, np.array([1, 0]), np.array([0, 1]), np.array([3.0, 1.0]), np.zeros(2, np.intp)))
    assert (pairs.votes_for.tolist(), pairs.votes_against.tolist()) == ([1], [3])


def test_standardised_weights_come_back_as_they_were_at_the_references_scale() -> None:
    pairs, weights = voted(3, 4), person(2).weights
    again = pairs.channel_weights(7 * pairs.standardise(weights), weights)
    assert again is not None
    assert np.allclose(again, weights, rtol=1e-5, atol=0)
    assert pairs.channel_weights(0 * pairs.rms, weights) is None


def test_a_difference_within_the_error_of_the_folds_leaves_the_usual_ridge_and_the_first_parent() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (2, 5, 3))
    assert choose(10 + noise, RIDGES) == (0, 1)


@pytest.mark.parametrize(("parent", "ridge"), [(0, 0), (0, 2), (1, 1), (1, 2)])
def test_a_difference_that_tells_decides(parent: int, ridge: int) -> None:
    losses = 10 + np.random.default_rng(0).normal(0, 0.1, (2, 5, 3))
    losses[parent, :, ridge] -= 5
    assert choose(losses, RIDGES) == (parent, ridge)


@pytest.mark.parametrize(("agreement", "supports"), [(0.80, True), (0.65, True), (0.55, False)])
def test_a_fit_is_supported_unless_it_is_telling_worse_than_its_parent(agreement: float, supports: bool) -> None:
    validation = Validation(agreement=agreement, parent_agreement=0.7, lead_error=0.05, unit="targets")
    assert validation.supports is supports
