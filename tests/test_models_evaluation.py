"""A metric beside a baseline: the figures that `clpips evaluate` prints, and people made up to check them with."""

import json
import math
import tracemalloc

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from clpips.models.agreement.evaluation import evaluate
from clpips.models.agreement.figures import Evaluation
from clpips.models.fitting.convex.fit import default_parents, fit_convex
from clpips.models.metric.families import Z_LENGTH
from clpips.models.rankings.files import Ranking
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.report.rows import comparison_rows, headline
from tests.support.observers import Observer, channel_distances, person

LPIPS = default_parents()["lpips"]
EQUAL = np.ones(Z_LENGTH, np.float32)


def data_set(raters: list[Observer], targets: int, candidates: int, seed: int) -> MeasuredRankings:
    """Every rater ranks the same candidates of every target."""
    rng = np.random.default_rng(seed)
    rankings, rows, rows_of, numbers = [], [], [], []
    for target in range(targets):
        z = channel_distances(rng, candidates)
        rows.append(z)
        for number, rater in enumerate(raters):
            ranks = tuple(rater.rank(z, rng).tolist())
            names = tuple(f"{target}-{index}.png" for index in range(candidates))
            rankings.append(Ranking(f"{target}.png", names, ranks=ranks, set=str(target), rater=f"p{number}"))
            rows_of.append(np.arange(candidates) + target * candidates)
            numbers.append(target)
    return MeasuredRankings(rankings, np.concatenate(rows), rows_of, np.array(numbers), [None] * len(rankings))


def votes(counts: list[tuple[int, int]]) -> MeasuredRankings:
    """Two candidates a target; LPIPS prefers the first."""
    z = np.stack([np.full(6016, 0.001), np.full(6016, 0.002)]).astype(np.float32)
    rankings = [Ranking(f"{target}", ("a", "b"), votes=pair) for target, pair in enumerate(counts)]
    return MeasuredRankings(rankings, z, [np.array([0, 1])] * len(counts), np.arange(len(counts)), [None] * len(counts))


def test_shares_of_votes_and_of_majorities_and_the_ceiling() -> None:
    scores = evaluate(votes([(3, 1), (1, 4), (2, 2), (5, 0)]), LPIPS, EQUAL).metric
    assert scores.pair_agreement.value == pytest.approx(2 / 3)
    assert scores.vote_agreement.value == pytest.approx((3 + 1 + 2 + 5) / 18)
    assert scores.vote_ceiling == pytest.approx((3 + 4 + 2 + 5) / 18)


def test_a_tied_vote_has_no_correlation_and_is_counted() -> None:
    result = evaluate(votes([(3, 1), (1, 4), (2, 2), (5, 0)]), LPIPS, EQUAL)
    assert (result.metric.spearman_within.sets, result.metric.spearman_within.undefined) == (3, 1)
    assert any("undefined in 1 of 4 sets" in warning for warning in result.warnings)


def test_spearman_comes_in_three_ways_that_are_what_their_names_say() -> None:
    measured = data_set([person(1, 0.5), person(2, 0.5)], targets=12, candidates=5, seed=1)
    scores = evaluate(measured, LPIPS, EQUAL).metric
    distances = [measured.rows[rows].astype(np.float64) @ LPIPS for rows in measured.rows_of]
    orders = [ranking.order for ranking in measured.rankings]
    pooled = spearmanr(np.concatenate(orders), np.concatenate(distances))
    assert scores.spearman_distances.value == pytest.approx(pooled.statistic)
    within = spearmanr(np.concatenate(orders), np.concatenate([rankdata(values) for values in distances]))
    assert scores.spearman.value == pytest.approx(within.statistic)
    assert scores.spearman.p < 0.01
    means = [spearmanr(order, values).statistic for order, values in zip(orders, distances, strict=True)]
    assert scores.spearman_within.mean.value == pytest.approx(np.mean(means))


def test_few_target_sets_are_warned_of() -> None:
    result = evaluate(data_set([person(1)], targets=9, candidates=4, seed=2), LPIPS, EQUAL)
    assert "only 9 target sets" in result.warnings[0]
    assert not evaluate(data_set([person(1)], targets=10, candidates=4, seed=2), LPIPS, EQUAL).warnings


def test_three_targets_cannot_be_significant_and_say_so() -> None:
    result = evaluate(data_set([person(1)], targets=3, candidates=6, seed=2), person(1).weights, LPIPS)
    assert result.smallest_p == 0.25
    assert all(not lead.p < 0.25 and math.isnan(lead.low) for lead in result.difference.values())
    assert any("with 3 targets the smallest possible p of a difference is 0.25" in line for line in result.warnings)
    assert "p=0.25" in headline(result)


def test_one_target_gives_differences_without_p_and_without_interval() -> None:
    result = evaluate(data_set([person(1), person(2)], targets=1, candidates=4, seed=2), person(1).weights, LPIPS)
    figures = result.as_json()
    leads = [lead for name, lead in figures["difference"].items() if name != "sign_flip_p"]
    assert all(lead["value"] is not None for lead in leads)
    assert {lead[name] for lead in leads for name in ("p", "low", "high")} == {None}
    assert figures["difference"]["sign_flip_p"] is None


def test_three_images_in_order_are_no_evidence() -> None:
    scores = evaluate(data_set([person(1)], targets=1, candidates=3, seed=2), person(1).weights, LPIPS).metric
    assert scores.spearman.value == 1
    tested = (scores.spearman, scores.kendall, scores.icc2_1, scores.icc2_k, scores.spearman_within.mean)
    assert [statistic.p for statistic in tested] == pytest.approx([1 / 3] * 5)


def test_people_who_agree_with_each_other_are_not_more_evidence_for_a_metric() -> None:
    one = data_set([person(1)], targets=2, candidates=4, seed=5)
    many = MeasuredRankings(
        [*one.rankings] * 5, one.rows, [*one.rows_of] * 5, np.tile(one.targets, 5), [None] * 5 * len(one.rankings)
    )
    alone, together = (evaluate(measured, LPIPS, EQUAL).metric for measured in (one, many))
    assert together.spearman.p == pytest.approx(alone.spearman.p)


def test_six_people_are_drawn_too_and_five_are_not() -> None:
    raters = [person(seed, 0.5) for seed in range(6)]
    six = evaluate(data_set(raters, targets=12, candidates=4, seed=5), LPIPS, EQUAL)
    five = evaluate(data_set(raters[:5], targets=12, candidates=4, seed=5), LPIPS, EQUAL)
    assert (six.drawn, six.people, six.smallest_p) == ("new targets and new people", 6, 1 / 32)
    assert (five.drawn, five.people) == ("new targets", 5)
    assert math.isnan(six.difference["vote_agreement"].low)  # six are too few for an interval
    assert any("5 people are too few to speak of others" in line for line in five.warnings)


def test_what_is_undefined_says_why() -> None:
    figures = evaluate(votes([(1, 1), (2, 2)]), LPIPS, EQUAL).as_json()
    assert figures["undefined"]["metric.pair_agreement"] == "no pair has a majority"
    assert figures["undefined"]["metric.spearman"]
    assert set(figures["metric"]["spearman"]) == {"value", "low", "high", "p"}


def test_a_metric_that_orders_against_people_is_warned_of_and_has_no_icc_of_the_average() -> None:
    agreeing = evaluate(votes([(5, 0)] * 12), LPIPS, EQUAL)
    assert agreeing.metric.icc2_k.value == 1
    assert not agreeing.warnings
    opposed = evaluate(votes([(0, 5)] * 12), LPIPS, EQUAL)
    assert opposed.as_json()["metric"]["icc2_k"]["value"] is None
    assert any("metric orders these images against people" in warning for warning in opposed.warnings)


def test_raters_of_the_same_set_are_not_taken_for_more_targets() -> None:
    result = evaluate(data_set([person(1, 1.0)] * 8, targets=11, candidates=4, seed=3), LPIPS, EQUAL)
    assert (result.sets, result.targets) == (88, 11)


def test_sets_of_different_sizes_are_judged_together() -> None:
    small = data_set([person(1)], targets=6, candidates=3, seed=4)
    large = data_set([person(1)], targets=6, candidates=7, seed=5)
    both = MeasuredRankings(
        [*small.rankings, *large.rankings],
        np.concatenate([small.rows, large.rows]),
        [*small.rows_of, *(rows + len(small.rows) for rows in large.rows_of)],
        np.concatenate([small.targets, large.targets + 6]),
        [*small.candidates_of, *large.candidates_of],
    )
    assert evaluate(both, person(1).weights, LPIPS).metric.spearman_within.mean.value == pytest.approx(1)


def test_the_json_is_json_and_has_null_for_what_is_undefined() -> None:
    result = evaluate(votes([(1, 1), (2, 2)]), LPIPS, EQUAL).as_json()
    assert result == json.loads(json.dumps(result, allow_nan=False))
    assert result["metric"]["pair_agreement"]["value"] is None
    assert result["metric"]["vote_agreement"]["value"] == 0.5


def test_every_figure_has_its_row() -> None:
    rows = comparison_rows(evaluate(data_set([person(1)], targets=12, candidates=4, seed=6), person(1).weights, LPIPS))
    assert [row.title for row in rows][-2:] == ["ICC(2,1)", "ICC(2,k)"]
    assert rows[0].metric.startswith("100.0 %")


# Twenty raters in four groups, as in the paper's section 4.2.


@pytest.fixture(scope="module")
def groups() -> list[list[Observer]]:
    return [[Observer(person(seed).weights, noise=0.35) for _ in range(5)] for seed in (11, 12, 13, 14)]


def fitted_and_judged(raters: list[Observer], targets: int, seed: int) -> Evaluation:
    weights = fit_convex(data_set(raters, targets, 5, seed).pairs()).weights
    return evaluate(data_set(raters, 30, 5, seed + 1), weights, LPIPS, ("fit", "lpips"))


@pytest.mark.parametrize("group", range(4))
def test_each_group_of_raters_is_followed_better_than_lpips_does(groups: list[list[Observer]], group: int) -> None:
    result = fitted_and_judged(groups[group], targets=12, seed=100 * group)
    lead = result.difference["icc2_1"]
    assert lead.low > 0
    assert result.metric.icc2_1.value > result.baseline.icc2_1.value
    assert result.sign_flip < 0.05


def test_agreement_rises_with_data_and_stays_below_what_noise_allows(groups: list[list[Observer]]) -> None:
    reached = [fitted_and_judged(groups[0], targets, seed=7).metric.vote_agreement.value for targets in (2, 30)]
    judged = evaluate(data_set(groups[0], 30, 5, 8), groups[0][0].weights, LPIPS)
    assert reached[0] + 0.01 < reached[1]
    assert reached[1] < judged.metric.vote_agreement.value < judged.metric.vote_ceiling


def test_one_groups_weights_do_not_serve_another(groups: list[list[Observer]]) -> None:
    own = fit_convex(data_set(groups[0], 12, 5, 20).pairs()).weights
    other = fit_convex(data_set(groups[1], 12, 5, 21).pairs()).weights
    result = evaluate(data_set(groups[0], 30, 5, 22), own, other)
    assert result.difference["vote_agreement"].low > 0


def test_undefined_statistics_do_not_break_the_table() -> None:
    rows = comparison_rows(evaluate(votes([(1, 1), (2, 2)]), LPIPS, EQUAL))
    assert rows[0].metric == "undefined"
    assert math.isnan(evaluate(votes([(1, 1)]), LPIPS, EQUAL).metric.icc2_1.value) is False


def test_long_rankings_take_memory_for_the_ranks_that_there_are() -> None:
    """Half ranks are for ties: with a place for each, and nobody who ties, it is twice as much."""
    whole = data_set([person(0)], targets=3, candidates=200, seed=0)
    tracemalloc.start()
    result = evaluate(whole, EQUAL, LPIPS, resamples=19)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.metric.kendall.value > result.baseline.kendall.value - 1
    assert most < 50e6
