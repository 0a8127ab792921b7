"""The table of people, on a few who are made up: what is learned from, what is judged, and what is said of it."""

import argparse

import numpy as np
import pytest

from clpips.models.fitting.convex.guard import Lead, Rivalry, Validation
from clpips.models.metric.families import Z_LENGTH
from clpips.models.rankings.files import Ranking
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.pairs import join_pairs
from loadtest.people import Trial, as_pairs, draw, judge, opinions_of, report_people, report_votes, row_of

IMAGES = 40


def simulated(raters: int = 2, images: int = IMAGES, seed: int = 0) -> MeasuredRankings:
    """People who rank all other images by a few channels of their own."""
    rng = np.random.default_rng(seed)
    places = np.triu_indices(images, 1)
    row = np.zeros((images, images), np.intp)
    row[places] = row.T[places] = np.arange(len(places[0]))
    rows = rng.gamma(0.7, 0.01, (len(places[0]), Z_LENGTH)).astype(np.float32)
    rankings, rows_of, targets, candidates = [], [], [], []
    for rater in range(raters):
        mine = rows @ (rng.random(Z_LENGTH) < 0.05).astype(np.float32)
        for target in range(images):
            others = np.setdiff1d(np.arange(images), [target])
            ranks = np.argsort(np.argsort(mine[row[target, others]])) + 1
            names = tuple(f"{other}.png" for other in others)
            rankings.append(Ranking(f"{target}.png", names, ranks=tuple(ranks.tolist()), rater=f"p{rater}"))
            rows_of.append(row[target, others])
            targets.append(target)
            candidates.append(others)
    return MeasuredRankings(rankings, rows, rows_of, np.array(targets), candidates)


def options(**changes: object) -> argparse.Namespace:
    return argparse.Namespace(**{"first": 0, "splits": 1, "errors": [0.0, 1.0], "rankings": [3], "seeds": 2, **changes})


def trial(lead: float, error: float, fit: float = 0.6, parent: float = 0.5, lpips: float = 0.55) -> Trial:
    one = Rivalry(Lead(0.1, 0.05), Lead(lead, error))
    found = Validation(
        agreement=0.6,
        parent_agreement=0.5,
        lpips_agreement=0.5,
        parent=one,
        lpips=one,
        unit="images",
        targets=3,
        learned=0.5,
    )
    return Trial(fit, parent, lpips, found, 0.1)


def test_lessons_show_ten_candidates_among_the_learning_images_alone() -> None:
    said = opinions_of(simulated(1))["p0"]
    learning = np.arange(0, IMAGES, 2)
    lesson = draw(said, learning, 5, np.random.default_rng(0))
    assert lesson is not None
    assert len({opinion.target for opinion in lesson}) == 5
    for opinion in lesson:
        assert len(opinion.ranks) == 10
        assert {opinion.target, *opinion.candidates.tolist()} <= set(learning.tolist())


def test_who_said_too_little_is_not_drawn_from() -> None:
    said = opinions_of(simulated(1))["p0"]
    assert draw(said, np.arange(10), 1, np.random.default_rng(0)) is None
    assert draw(said, np.arange(20), 21, np.random.default_rng(0)) is None


def test_the_mark_is_the_share_of_pairs_in_their_order() -> None:
    measured = simulated(1, images=12)
    said = opinions_of(measured)["p0"]
    pairs = as_pairs(said, measured.rows)
    weights = np.ones(Z_LENGTH, np.float32)
    assert judge(said, (measured.rows @ weights).astype(np.float64)) == pytest.approx(
        pairs.agreement(weights), abs=1e-3
    )
    assert judge(said, np.zeros(len(measured.rows))) == 0.5
    assert len(join_pairs([pairs])) == 12 * 55


def test_a_fit_that_the_guard_keeps_back_leaves_the_parents_answer() -> None:
    sure, unsure = trial(0.05, 0.01), trial(0.05, 0.1)
    assert sure.lead(1) == sure.lead() == pytest.approx(0.05)
    assert unsure.lead(1) == pytest.approx(-0.05)
    assert unsure.lead(0) == pytest.approx(0.05)
    assert not Trial(0.6, 0.5, 0.55, None, 0.1).taken(0)


def test_a_row_tells_leads_harm_and_what_was_taken() -> None:
    row = row_of(3, [trial(0.05, 0.01), trial(0.05, 0.1, fit=0.58, parent=0.51)], [0.0, 1.0]).split()
    assert row[:5] == ["3", "+4.00", "0%", "-4.50", "100%"]
    assert row[5:11] == ["+4.00", "0%", "100%", "+0.50", "50%", "50%"]
    assert row[11:] == ["100", "ms", "images"]


def test_people_are_learned_from_and_judged_and_nobody_is_left_out_silently(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report_people(simulated(), options(rankings=[3, 30]))
    out = capsys.readouterr().out
    (row,) = [line for line in out.splitlines() if line.lstrip().startswith("3 ")]
    assert float(row.split()[1]) > 0
    assert row.endswith("images")
    assert out.count("left out: p") == 2


def test_votes_are_judged_on_targets_and_on_images_kept_apart(capsys: pytest.CaptureFixture[str]) -> None:
    ranked = simulated(1, images=16)
    rng = np.random.default_rng(1)
    rankings, rows_of, targets, candidates = [], [], [], []
    for _ in range(300):
        place = int(rng.integers(16))
        two = np.sort(rng.permutation(15)[:2])
        order = ranked.rankings[place].order[two]
        names = tuple(ranked.rankings[place].candidates[one] for one in two)
        rankings.append(
            Ranking(ranked.rankings[place].target, names, votes=tuple(np.where(order == order.min(), 4, 1)))
        )
        rows_of.append(ranked.rows_of[place][two])
        targets.append(place)
        candidates.append(np.setdiff1d(np.arange(16), [place])[two])
    report_votes(MeasuredRankings(rankings, ranked.rows, rows_of, np.array(targets), candidates), options())
    out = capsys.readouterr().out
    assert out.count("targets not seen") == out.count("images not seen") == 4
