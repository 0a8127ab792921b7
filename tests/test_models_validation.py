"""Cross-validation: what folds hold out, what counts in an average, and what the guard lets through."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clpips.models.fitting.convex.averaging import SCALES, average_shares, that_count
from clpips.models.fitting.convex.fit import fit_convex
from clpips.models.fitting.convex.folds import CANDIDATE_FOLDS, Unit, split_folds
from clpips.models.fitting.convex.guard import Lead, Rivalry, Validation
from clpips.models.fitting.convex.members import PERSONAL
from clpips.models.fitting.convex.voted_pairs import VotedPairs, voted_pairs
from clpips.models.metric.families import Z_LENGTH
from clpips.models.rankings.pairs import RankedPairs, join_pairs, pairs_of_ranking
from tests.support.observers import person, rankings_of

FOLDS = 6


def shared(images: int, rankings: int, candidates: int, seed: int) -> VotedPairs:
    """Rankings of pictures that are targets here and candidates there."""
    rng = np.random.default_rng(seed)
    sets = []
    for target in rng.permutation(images)[:rankings]:
        shown = rng.choice(np.setdiff1d(np.arange(images), [target]), candidates, replace=False)
        z = rng.gamma(1, 0.01, (candidates, Z_LENGTH)).astype(np.float32)
        sets.append(pairs_of_ranking(z, rng.permutation(candidates) + 1, int(target), shown.tolist()))
    return voted_pairs(join_pairs(sets))


def shown(compared: VotedPairs, chosen: NDArray[np.bool_]) -> set[int]:
    return set(compared.images(chosen).tolist())


@given(st.integers(8, 40), st.integers(2, 12), st.integers(2, 6), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_no_image_stands_on_both_sides_of_a_fold(images: int, rankings: int, candidates: int, seed: int) -> None:
    compared = shared(images, min(rankings, images), candidates, seed)
    folds, unit = split_folds(compared, FOLDS)
    assert unit in {"images", "targets"}
    for fold in folds:
        assert fold.learned.any()
        assert fold.asked.any()
        assert not shown(compared, fold.learned) & shown(compared, fold.asked)


def test_images_that_recur_are_held_out_as_images() -> None:
    folds, unit = split_folds(shared(images=20, rankings=10, candidates=5, seed=0), FOLDS)
    assert unit == "images"
    assert folds


@given(st.integers(2, 12), st.integers(2, 4))
@settings(max_examples=20, deadline=None)
def test_targets_that_share_no_image_are_each_held_out_once_and_whole(targets: int, candidates: int) -> None:
    compared = voted_pairs(rankings_of(person(0), targets, candidates, seed=0))
    folds, unit = split_folds(compared, FOLDS)
    assert unit == "targets"
    assert len(folds) == min(FOLDS, targets)
    assert np.array_equal(np.sum([fold.asked for fold in folds], axis=0), np.ones(len(compared)))
    assert all((fold.learned ^ fold.asked).all() for fold in folds)


def test_of_one_target_no_comparison_has_a_candidate_on_each_side() -> None:
    compared = voted_pairs(rankings_of(person(0), 1, 10, seed=0))
    folds, unit = split_folds(compared, FOLDS)
    assert (unit, len(folds)) == ("candidates", CANDIDATE_FOLDS)
    for fold in folds:
        learned, asked = (
            {*compared.low_images[chosen], *compared.high_images[chosen]} for chosen in (fold.learned, fold.asked)
        )
        assert not learned & asked


def test_two_candidates_of_one_target_leave_nothing_to_hold_out() -> None:
    assert split_folds(voted_pairs(rankings_of(person(0), 1, 2, seed=0)), FOLDS)[0] == []


def test_votes_of_a_pair_are_merged_whichever_way_they_came() -> None:
    z = np.random.default_rng(0).gamma(1, 0.01, (2, Z_LENGTH)).astype(np.float32)
    better, worse, zeros = np.array([1, 0]), np.array([0, 1]), np.zeros(2, np.intp)
    compared = voted_pairs(RankedPairs(z, better, worse, np.array([3.0, 1.0]), zeros, np.array([2, 2])))
    assert (compared.votes_for.tolist(), compared.votes_against.tolist()) == ([1], [3])
    assert compared.evidence.tolist() == [1]


def test_a_ranking_counts_as_one_answer_fewer_than_it_has_candidates() -> None:
    compared = voted_pairs(rankings_of(person(0), 1, 10, seed=0))
    assert compared.evidence @ compared.votes == pytest.approx(9)


def test_with_nothing_held_out_each_strength_counts_as_usual() -> None:
    usual = np.array([0.3, 0.4, 0.3])
    assert np.allclose(average_shares(usual, [], 2.0), usual)


def test_what_says_more_of_what_it_has_not_seen_counts_for_more() -> None:
    losses = np.full((3, len(SCALES)), 10.0)
    losses[1, 4] -= 2
    shares = average_shares(np.array([0.3, 0.4, 0.3]), [losses, losses], 1.0)
    assert shares.sum() == pytest.approx(1)
    assert shares[1] == pytest.approx(0.4 * np.exp(4) / (0.6 + 0.4 * np.exp(4)))


def test_shares_that_hardly_count_are_left_out() -> None:
    assert that_count(np.array([0.01, 0.39, 0.6])).tolist() == pytest.approx([0, 0.39 / 0.99, 0.6 / 0.99])


@pytest.mark.parametrize(
    ("value", "error", "exceeds"),
    [(0.03, 0.01, True), (0.01, 0.03, False), (0.0, 0.0, False), (0.02, float("nan"), False), (-0.1, 0.01, False)],
)
def test_a_lead_counts_where_it_is_more_than_noise_and_no_tie(value: float, error: float, exceeds: bool) -> None:
    assert Lead(value, error).exceeds(1) is exceeds


AHEAD, BEHIND = Lead(0.02, 0.05), Lead(-0.01, 0.05)
SURE, UNSURE = Lead(0.03, 0.01), Lead(0.01, 0.05)
NOBODY_KNOWS = Lead(0.03, float("nan"))


def validation(parent: Rivalry, lpips: Rivalry, unit: Unit = "images", learned: float = 0.5) -> Validation:
    return Validation(
        agreement=0.65,
        parent_agreement=0.65 - parent.agreement.value,
        lpips_agreement=0.65 - lpips.agreement.value,
        parent=parent,
        lpips=lpips,
        unit=unit,
        targets=9,
        learned=learned,
    )


def test_a_version_is_taken_only_where_it_leads_both_its_parent_and_lpips() -> None:
    sure, unsure = Rivalry(AHEAD, SURE), Rivalry(AHEAD, UNSURE)
    assert validation(sure, sure).taken
    assert not validation(sure, unsure).taken
    assert not validation(unsure, sure).taken


def test_a_version_that_agrees_no_more_often_is_not_taken_however_likely_it_finds_the_choices() -> None:
    sure = Rivalry(AHEAD, SURE)
    for tie in (Lead(0.0, 0.05), BEHIND):
        assert not validation(sure, Rivalry(tie, SURE)).taken
        assert not validation(Rivalry(tie, SURE), sure).taken


def test_a_lead_whose_error_nobody_knows_is_none() -> None:
    assert not validation(Rivalry(AHEAD, NOBODY_KNOWS), Rivalry(AHEAD, SURE)).taken


def test_a_whole_error_is_asked_for_where_folds_learn_from_nearly_all() -> None:
    some, sure = Rivalry(AHEAD, Lead(0.7, 1.0)), Rivalry(AHEAD, SURE)
    assert validation(some, sure).taken
    assert not validation(some, sure, learned=0.8).taken
    assert not validation(some, sure, unit="candidates").taken
    assert not validation(some, sure, unit="targets").taken


def test_a_whole_error_is_asked_for_where_the_parent_is_lpips() -> None:
    some = Rivalry(AHEAD, Lead(0.7, 1.0))
    assert validation(some, Rivalry(AHEAD, Lead(0.8, 1.0))).taken
    assert not validation(some, some).taken


def test_a_target_that_was_saved_twice_is_no_evidence_of_its_own() -> None:
    (ranking,) = (rankings_of(person(1), targets=1, candidates=10, seed=1),)
    again = replace(ranking, targets=ranking.targets + 1)
    images = np.stack([ranking.better, ranking.worse], axis=1) + 10
    twice = join_pairs([replace(ranking, images=images), replace(again, images=images)])
    once, both = (fit_convex(pairs, None, PERSONAL).validation for pairs in (ranking, twice))
    assert both.parent.likelihood.error > 0.3 * once.parent.likelihood.error


@pytest.mark.parametrize(("lead", "supports"), [(0.1, True), (-0.05, True), (-0.15, False)])
def test_a_fit_is_supported_unless_it_is_tellingly_worse_than_its_parent(lead: float, supports: bool) -> None:
    assert validation(Rivalry(Lead(lead, 0.05), SURE), Rivalry(AHEAD, SURE)).supports is supports


def shared_few(images: int, rankings: int) -> VotedPairs:
    return shared(images=images, rankings=rankings, candidates=6, seed=1)


def test_few_targets_that_share_images_are_each_held_out_several_times() -> None:
    compared = shared_few(images=14, rankings=3)
    folds, unit = split_folds(compared, FOLDS)
    assert unit == "images"
    assert len(folds) > FOLDS
    held_out = {tuple(np.unique(compared.targets[fold.asked])) for fold in folds}
    assert min(max(fold.asked[compared.targets == target].sum() for fold in folds) for target in compared.targets) >= 6
    assert held_out == {(target,) for target in np.unique(compared.targets)}
    asked = np.sum([fold.asked for fold in folds], axis=0)
    assert sum(fold.worth * fold.asked.sum() for fold in folds) == pytest.approx(np.count_nonzero(asked))


def test_few_targets_leave_each_other_something_to_learn_from() -> None:
    compared = shared_few(images=14, rankings=3)
    for fold in split_folds(compared, FOLDS)[0]:
        (target,) = np.unique(compared.targets[fold.asked])
        assert set(compared.targets[fold.learned]) == {*compared.targets} - {target}
