"""Simulated people who judge by some families alone: what they look at, and what they are asked."""

import numpy as np
import pytest

from clpips.models.fitting.convex.fit import LOOKS, WHAT
from clpips.models.metric.families import PLACES, Families
from loadtest.minds import only, says, try_mind, weights_of
from loadtest.people import opinions_of
from tests.test_loadtest_people import simulated


@pytest.mark.parametrize("families", [LOOKS, WHAT])
def test_somebody_looks_at_a_tenth_of_their_own_channels_and_at_no_others(families: Families) -> None:
    weights = weights_of(families, np.random.default_rng(0))
    looked_at = {name for name, place in PLACES.items() if weights[place].any()}
    channels = sum(place.stop - place.start for name, place in PLACES.items() if name in families)
    assert looked_at == set(families)
    assert np.count_nonzero(weights) == pytest.approx(0.1 * channels, rel=0.15)


def test_what_somebody_says_without_noise_is_the_order_of_their_distances() -> None:
    measured = simulated(1)
    distances = measured.rows @ weights_of(LOOKS, np.random.default_rng(1))
    for opinion in says(opinions_of(measured)["p0"], distances, 0, np.random.default_rng(2)):
        assert (np.argsort(opinion.ranks) == np.argsort(distances[opinion.rows])).all()


def test_who_is_told_the_families_is_judged_by_them_alone() -> None:
    measured = simulated(1)
    marks = try_mind(opinions_of(measured)["p0"], measured.rows, WHAT, 0.05, 3, 0)
    assert len(marks) == 5
    assert all(0 <= mark <= 1 for mark in marks)
    assert marks[3] > marks[0]  # LPIPS knows nothing of content
    assert not only(measured.rows, WHAT)[:, PLACES["aligned"]].any()
