"""A personal fit: what it holds out, and when it is worth taking."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import numpy as np
import pytest

from clpips.models.fitting.job import FitJob
from clpips.models.fitting.personal import Begun, Part, fit, part
from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.trained_on import TrainedOn
from clpips.models.rankings.membership import hash_images
from tests.support.fit_jobs import job


def test_a_single_ranking_is_learned_from_by_leaving_candidates_out() -> None:
    result = fit(job(rankings=1, candidates=10))
    assert result.weights is not None
    assert result.report["held_out"] == "candidates"
    assert "spearman" not in result.report["agreement"]


def test_two_candidates_alone_support_nothing_and_say_so() -> None:
    result = fit(job(rankings=1, candidates=2))
    assert result.weights is None
    assert not result.taken
    assert "target" in result.reason


def test_figures_are_in_sample_where_what_the_fit_starts_from_has_seen_the_images() -> None:
    assert fit(job(3)).report["in_sample"] is False
    seen = TrainedOn(images=hash_images(f"sha256:{image}" for images in job(3).candidates for image in images))
    result = fit(replace(job(3), base_trained_on=seen))
    assert result.report["in_sample"] is True
    assert result.reason.startswith("in sample, because what it started from was fitted to 83% of these images: on ")


@pytest.mark.parametrize("rankings", [1, 2, 6])
def test_a_version_is_taken_only_if_it_is_better_than_its_parent_and_lpips(rankings: int) -> None:
    for seed in range(4):
        result = fit(job(rankings, seed=seed))
        agreement = {side: result.report[side]["pair_agreement"] for side in ("agreement", "parent", "lpips")}
        if result.taken:
            assert agreement["agreement"] > max(agreement["parent"], agreement["lpips"])
        else:
            assert "waits for rankings" in result.reason
            assert ("one ranking" if rankings == 1 else f"{rankings} rankings") in result.reason


def test_a_parent_that_judges_as_the_person_is_a_tie_and_stays() -> None:
    mine = job(4)
    hidden = np.random.default_rng(0).gamma(0.3, 1, Z_LENGTH).astype(np.float32)
    result = fit(replace(mine, base=hidden))
    assert result.report["parent"]["pair_agreement"] == 1
    assert not result.taken


def test_the_order_that_rankings_came_in_changes_no_figure() -> None:
    mine = job(5)
    turned = replace(
        mine, **{name: getattr(mine, name)[::-1] for name in ("channel_distances", "ranks", "targets", "candidates")}
    )
    here, there = fit(mine), fit(turned)
    assert here.report["agreement"]["pair_agreement"] == pytest.approx(there.report["agreement"]["pair_agreement"])
    assert here.taken == there.taken


def test_pictures_that_recur_are_held_out_as_images() -> None:
    mine = job(rankings=8, candidates=5)
    names = [[f"target {(number + step) % 8}" for step in range(1, 6)] for number in range(8)]
    assert fit(replace(mine, candidates=names)).report["held_out"] == "images"


@pytest.mark.parametrize(("rankings", "candidates"), [(1, 2), (1, 10), (3, 5), (16, 6)])
def test_a_fit_with_a_part_done_elsewhere_is_the_same_fit(rankings: int, candidates: int) -> None:
    mine, asked = job(rankings, candidates), list[FitJob]()

    @contextmanager
    def elsewhere(given: FitJob) -> Iterator[Begun]:
        done = part(given)

        def answer() -> Part | None:
            asked.append(given)
            return done

        yield answer

    alone, together = fit(mine), fit(mine, elsewhere)
    assert len(asked) <= 1
    assert (alone.taken, alone.reason, alone.report) == (together.taken, together.reason, together.report)
    np.testing.assert_array_equal(alone.weights, together.weights)


def test_no_part_of_a_fit_to_many_rankings_is_done_elsewhere() -> None:
    def never(_: FitJob) -> AbstractContextManager[Begun]:
        raise AssertionError

    with pytest.raises(AssertionError):
        fit(job(10, candidates=50), never)
    fit(job(2, candidates=251), never)
