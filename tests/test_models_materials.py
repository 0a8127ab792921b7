"""Real people: judgments of materials, where they are at hand.

`CLPIPS_TEST_MATERIALS` names a folder with the judgments of Lagunas and others (SIGGRAPH 2019, repository
`mlagunas/material-appearance-similarity`) as `rankings.jsonl`, a line of votes a judgment, beside its images.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from clpips.models.engines.opening import open_engine
from clpips.models.fitting.convex.fit import default_parents, fit_convex
from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.files import read_rankings
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.measuring import measure_rankings
from clpips.models.rankings.splitting import split_rankings

FOLDER = os.environ.get("CLPIPS_TEST_MATERIALS")
pytestmark = pytest.mark.skipif(
    not FOLDER,
    reason="set CLPIPS_TEST_MATERIALS to a folder with the judgments of materials and their images",
)
LPIPS = default_parents()["lpips"]


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> MeasuredRankings:
    rankings = read_rankings(Path(FOLDER or "") / "rankings.jsonl")
    cache = tmp_path_factory.mktemp("cache")
    return measure_rankings(rankings, lambda: open_engine("onnx"), 256, SHIPPED_FINGERPRINT, cache)


def lead(materials: MeasuredRankings, size: int | None, seed: int) -> float:
    """Points of votes ahead of LPIPS on held-out targets, after so many judgments."""
    split = split_rankings(materials.rankings, 0.7, seed, by="target")
    drawn = np.random.default_rng(seed).permutation(len(split.fit))[:size]
    fit = fit_convex(materials.take([split.fit[index] for index in drawn]).pairs())
    held_out = materials.take(split.held_out).pairs()
    return 100 * (held_out.agreement(fit.weights) - held_out.agreement(LPIPS))


def test_lpips_agrees_with_people_as_has_been_seen(materials: MeasuredRankings) -> None:
    assert materials.pairs().agreement(LPIPS) == pytest.approx(0.73, abs=0.005)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("judgments", "points"), [(50, 2.4), (200, 3.2), (1000, 4.0)])
def test_a_few_judgments_already_move_the_metric(materials: MeasuredRankings, judgments: int, points: float) -> None:
    leads = [lead(materials, judgments, seed) for seed in range(10)]
    assert np.median(leads) >= points
    assert min(leads) > 0


@pytest.mark.timeout(600)
def test_all_training_judgments_move_it_by_four_points(materials: MeasuredRankings) -> None:
    assert lead(materials, None, seed=0) >= 4


def test_the_shipped_weights_know_the_judgments_that_they_were_fitted_to(materials: MeasuredRankings) -> None:
    assert materials.pairs().agreement(load_weights("clpips-materials").values) > 0.775
