"""Simulated people who judge by some families alone: what they look at, and what they are asked."""

import argparse

import numpy as np
import pytest

from clpips.models.fitting.convex.members import LOOKS, WHAT
from clpips.models.metric.families import PLACES, Families
from clpips.models.metric.weights_files import load_weights
from loadtest.minds import only, report_nothing, says, try_mind, try_nothing, weights_of
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


def test_of_people_without_an_order_few_fits_are_taken() -> None:
    measured = simulated(1)
    parent = load_weights("balanced").values
    taken = [try_nothing(opinions_of(measured)["p0"], measured.rows, parent, 0.3, 3, number) for number in range(6)]
    assert np.mean(taken, axis=0).max() <= 0.5


def test_what_the_guard_mistakes_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    measured = simulated(1)
    report_nothing(
        opinions_of(measured)["p0"],
        measured.rows,
        argparse.Namespace(people=2, noise=[0.3], rankings=[1, 3], parent="lpips"),
    )
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["0.3", "1"], ["0.3", "3"]]
    assert all(share in {"0%", "50%", "100%"} for row in rows for share in row[2:])
