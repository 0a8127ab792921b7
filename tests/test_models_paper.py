"""The paper's recipe: that it learns, keeps the best epoch, and what it needs."""

import numpy as np
import pytest

from clpips.models.fitting.convex.fit import default_parents
from clpips.models.fitting.convex.voted_pairs import NoFitError
from clpips.models.metric.families import PLACES
from clpips.models.rankings.pairs import join_pairs
from tests.support.observers import person, rankings_of

pytestmark = pytest.mark.torch
LPIPS = default_parents()["lpips"]


def test_it_moves_the_metric_towards_a_person() -> None:
    from clpips.models.fitting.paper import fit_paper

    somebody = person(1)
    fit = fit_paper(rankings_of(somebody, targets=30, candidates=6, seed=1), LPIPS)
    new = rankings_of(somebody, targets=60, candidates=6, seed=2, first_target=100)
    assert new.agreement(fit.weights) > new.agreement(LPIPS) + 0.02
    assert fit.weights.min() >= 0


def test_the_best_epoch_on_validation_is_kept() -> None:
    from clpips.models.fitting.paper import fit_paper

    fit = fit_paper(rankings_of(person(2, noise=0.5), targets=20, candidates=5, seed=3), LPIPS)
    assert fit.validation[fit.best_epoch] == max(fit.validation)
    assert fit.validation.index(max(fit.validation)) == fit.best_epoch


def test_where_no_epoch_is_better_the_parent_stays() -> None:
    from clpips.models.fitting.paper import fit_paper

    somebody = person(3)
    fit = fit_paper(rankings_of(somebody, targets=20, candidates=5, seed=4), somebody.weights)
    assert fit.best_epoch == 0
    assert np.allclose(fit.weights, somebody.weights)


def test_it_repeats_with_its_seed() -> None:
    from clpips.models.fitting.paper import fit_paper

    pairs = rankings_of(person(4), targets=8, candidates=4, seed=5)
    assert np.array_equal(fit_paper(pairs, LPIPS, seed=1).weights, fit_paper(pairs, LPIPS, seed=1).weights)


def test_one_target_leaves_nothing_to_validate_on() -> None:
    from clpips.models.fitting.paper import fit_paper

    with pytest.raises(NoFitError, match="two targets or more"):
        fit_paper(join_pairs([]), LPIPS)


def test_it_learns_the_families_that_its_parent_counts_and_no_other() -> None:
    from clpips.models.fitting.paper import fit_paper

    pairs = rankings_of(person(5), targets=12, candidates=5, seed=6)
    fitted = {name: fit_paper(pairs, default_parents()[name]).weights for name in ("lpips", "balanced")}
    assert not fitted["lpips"][PLACES["aligned"].stop :].any()
    assert all(fitted["balanced"][place].any() for place in PLACES.values())
