"""Which two candidates to ask about: those on which the prior disagrees most."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clpips.models.fitting.suggesting import prior_deviations, suggest_pair
from clpips.models.metric.families import Z_LENGTH


def distances(candidates: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).gamma(0.7, 0.01, (candidates, Z_LENGTH)).astype(np.float32)


def test_a_copy_is_not_asked_about_while_something_else_is_open() -> None:
    near, far = distances(2, 0)
    z = np.stack([near, near, far])
    assert suggest_pair(z) in {(0, 2), (1, 2)}


@given(st.integers(2, 6), st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_every_pair_is_asked_about_once_and_then_none(candidates: int, seed: int) -> None:
    z = distances(candidates, seed)
    asked: list[tuple[int, int]] = []
    while (pair := suggest_pair(z, asked)) is not None:
        asked.append(pair)
    assert sorted(asked) == [(a, b) for a in range(candidates) for b in range(a + 1, candidates)]


def test_the_pair_is_the_one_whose_gap_weights_drawn_from_the_prior_disagree_most_about() -> None:
    z = distances(5, 3)
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(4000, Z_LENGTH)) * prior_deviations()
    scores = drawn @ z.T.astype(np.float64)
    spread = {(a, b): (scores[:, b] - scores[:, a]).std() for a in range(5) for b in range(a + 1, 5)}
    chosen = suggest_pair(z)
    assert chosen is not None
    assert spread[chosen] == pytest.approx(max(spread.values()), rel=0.05)


def test_candidates_that_look_the_same_leave_nothing_to_ask() -> None:
    assert suggest_pair(np.repeat(distances(1, 0), 3, axis=0)) is None


def test_the_order_of_the_candidates_does_not_matter() -> None:
    z = distances(6, 1)
    turned = np.random.default_rng(1).permutation(6)
    first, second = suggest_pair(z) or (0, 0)
    there = suggest_pair(z[turned]) or (0, 0)
    assert {first, second} == set(turned[list(there)].tolist())
