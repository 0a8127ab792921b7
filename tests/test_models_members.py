"""What the fits of an average count before anything is held out: by how many answers there are, and of what."""

import numpy as np
import pytest
from numpy.typing import NDArray

from clpips.models.fitting.convex.fit import fit_convex
from clpips.models.fitting.convex.members import (
    PERSONAL,
    VOTES,
    content_level,
    counted,
    families_in,
    sameness,
    usual_share,
)
from clpips.models.fitting.convex.voted_pairs import VotedPairs, voted_pairs
from clpips.models.metric.families import PLACES, Z_LENGTH
from clpips.models.metric.typical import typical_sum
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.pairs import RankedPairs

CONTENT = ("content_mean", "content_std")
(SAME_THING,) = (member for member in VOTES.members if member.same_thing)


def choices(pairs: int, content: float, seed: int = 0) -> RankedPairs:
    """Choices between two pictures, by how they look, whose content is so far apart, in that of natural pictures."""
    rng = np.random.default_rng(seed)
    rows = rng.gamma(1, 0.01, (2 * pairs, Z_LENGTH)).astype(np.float32)
    for name in CONTENT:
        rows[:, PLACES[name]] *= content * typical_sum(name) / rows[:, PLACES[name]].sum(axis=1, keepdims=True)
    looks = rows[:, PLACES["aligned"]] @ rng.gamma(0.3, 1, rows[:, PLACES["aligned"]].shape[1])
    first, second = np.arange(0, 2 * pairs, 2), np.arange(1, 2 * pairs, 2)
    closer = looks[first] < looks[second]
    better, worse = np.where(closer, first, second), np.where(closer, second, first)
    return RankedPairs(rows, better, worse, np.full(pairs, 3.0), np.arange(pairs) % 7, np.full(pairs, 2))


def compared(pairs: int, content: float) -> VotedPairs:
    return voted_pairs(choices(pairs, content))


@pytest.mark.parametrize("level", [0.3, 1.0, 1.6])
def test_the_level_of_content_is_in_that_of_natural_pictures(level: float) -> None:
    assert content_level(compared(20, level)) == pytest.approx(level, rel=1e-4)


def test_pictures_whose_content_nobody_looked_at_have_no_level() -> None:
    assert np.isnan(content_level(compared(20, 0)))
    assert sameness(content_level(compared(20, 0))) == 0


def test_a_fit_for_the_same_thing_counts_where_content_hardly_differs() -> None:
    assert usual_share(SAME_THING, compared(20, 0.4)) == pytest.approx(2 / (1 + 20 / 2000), rel=1e-6)
    assert 0 < usual_share(SAME_THING, compared(20, 0.8)) < 1
    assert usual_share(SAME_THING, compared(20, 1.2)) == 0


def test_it_counts_the_less_the_more_answers_there_are_and_the_others_do_not() -> None:
    few, many = compared(20, 0.4), compared(400, 0.4)
    assert usual_share(SAME_THING, many) == pytest.approx(2 / 1.2, rel=1e-6)
    assert [usual_share(member, few) for member in VOTES.members[:-1]] == [
        usual_share(member, many) for member in VOTES.members[:-1]
    ]


def families_counted(parent: str, pairs: VotedPairs) -> list[frozenset[str]]:
    return [each.families for each in counted(PERSONAL, pairs, load_weights(parent).values.astype(np.float64))]


def test_a_parent_of_some_families_has_a_fit_of_them_alone() -> None:
    pairs = compared(20, 1.2)
    assert families_counted("lpips", pairs)[-1] == {"aligned"}
    assert families_counted("clpips-materials", pairs)[-1] == {"aligned", "mean", "std"}
    assert len(families_counted("balanced", pairs)) == len(PERSONAL.members) - 1


def test_a_parent_of_all_that_was_compared_has_none() -> None:
    pairs = compared(20, 0)
    assert families_in(pairs.rows) == {"aligned", "mean", "std"}
    assert len(families_counted("clpips-materials", pairs)) == len(PERSONAL.members) - 1


def parts(weights: NDArray[np.float32], rows: NDArray[np.float32]) -> dict[str, float]:
    """The share of the mean distance that each family makes."""
    mean = rows.mean(axis=0)
    whole = float(mean @ weights)
    return {name: float(mean[place] @ weights[place]) / whole for name, place in PLACES.items()}


def test_choices_among_pictures_of_one_thing_are_learned_by_how_they_look() -> None:
    same, other = (choices(40, content) for content in (0.4, 1.2))
    fits = [(fit_convex(pairs, None, VOTES), pairs) for pairs in (same, other)]
    assert [len(fit.shares) for fit, _ in fits] == [5, 4]
    here, there = (parts(fit.weights, pairs.rows) for fit, pairs in fits)
    assert here["aligned"] > 0.5 > there["aligned"]
