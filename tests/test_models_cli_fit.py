"""`clpips fit` as a person and as a program meet it."""

import json
from pathlib import Path

import numpy as np
import pytest

from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.files import Ranking, read_rankings
from tests.support import learning
from tests.support.learning import run, run_json
from tests.support.observers import channel_distances
from tests.support.rankings import write_rankings

own_cache = learning.own_cache
stored = learning.stored


def test_fit_writes_weights_with_their_provenance(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.safetensors"
    figures = run_json(capsys, "fit", stored, "--out", out)
    weights = load_weights(out)
    assert (weights.name, weights.backbone, weights.resolution) == ("mine", SHIPPED_FINGERPRINT, 256)
    assert weights.parent == "balanced"
    assert "12 rankings (180 ordered pairs) of 12 targets" in weights.recipe
    held_out = weights.agreement["held_out"]
    assert held_out["metric"]["vote_agreement"] == figures["held_out"]["metric"]["vote_agreement"]
    assert held_out["baseline"]["name"] == "lpips"
    assert figures["supported"] is True


def test_what_was_said_of_some_candidates_is_all_that_is_fitted_and_judged(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a", "b", "c", "d", "e", "f"]
    lines = []
    for number, text in enumerate(stored.read_text().splitlines()):
        line = json.loads(text)
        order = np.argsort(line.pop("ranks")).tolist()
        said = {"best": order[0]} if number % 2 else {"top": order[:2]}
        lines.append(json.dumps(line | {"candidates": [f"{number}{name}" for name in names], **said}))
    file = tmp_path / "partly.jsonl"
    file.write_text("\n".join(lines))
    figures = run_json(capsys, "evaluate", file, "--weights", "lpips")
    assert figures["pairs"] == 6 * 5 + 6 * (5 + 4)
    out = tmp_path / "mine.safetensors"
    assert run("fit", file, "--out", out) == 0
    assert "12 rankings (84 ordered pairs) of 12 targets" in load_weights(out).recipe


def test_fit_prints_the_held_out_comparison(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("fit", stored, "--out", tmp_path / "mine.safetensors") == 0
    out = capsys.readouterr().out
    assert "on targets not seen: 4 targets held out" in out
    assert "names no candidates" in out
    for words in ("ICC(2,1)", "ICC(2,k)", "ρ, ranks pooled", "Koo and Li", "only 4 target sets", "wrote "):
        assert words in out


def test_fitted_weights_are_those_of_the_arrays_alone(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from clpips.models.fitting.convex.fit import fit_convex
    from clpips.models.rankings.pairs import join_pairs, pairs_of_ranking

    run_json(capsys, "fit", stored, "--out", tmp_path / "mine.safetensors")
    sets = [
        pairs_of_ranking(ranking.z.astype(np.float32), ranking.order, target)
        for target, ranking in enumerate(sorted(read_rankings(stored), key=lambda ranking: ranking.target))
        if ranking.z is not None
    ]
    online = fit_convex(join_pairs(sets)).weights
    assert np.allclose(load_weights(tmp_path / "mine.safetensors").values, online, rtol=0.01, atol=1e-3 * online.max())


def test_where_few_targets_are_held_out_the_figure_to_quote_is_out_of_fold(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = run_json(capsys, "fit", stored, "--out", tmp_path / "mine.safetensors")
    assert (figures["headline"], figures["held_out"]["targets"]) == ("cross_validated", 4)
    assert run("fit", stored, "--out", tmp_path / "mine.safetensors") == 0
    assert "of all 12 targets" in (printed := capsys.readouterr().out)
    assert "this is the figure to quote" in printed


def test_an_out_of_fold_figure_is_in_sample_where_the_parent_has_seen_the_rankings(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    figures = run_json(capsys, "fit", stored, "--out", first)
    assert figures["cross_validated"]["in_sample"] is False
    assert run_json(capsys, "fit", stored, "--out", second, "--parent", first)["cross_validated"]["in_sample"] is True
    run("fit", stored, "--out", second, "--parent", first)
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith("IN SAMPLE, because first, which the fit starts from, was fitted to 100 % of these rankings")
    assert "figure to quote" not in said


def test_the_parts_of_a_commands_time_add_up(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    took = run_json(capsys, "fit", stored, "--out", tmp_path / "mine.safetensors")["took"]
    assert {"channel distances", "the fit", "other"} <= took.keys()
    assert sum(took.values()) == pytest.approx(2 * took["total"])


@pytest.mark.torch
def test_the_paper_recipe_is_one_option_away(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = run_json(capsys, "fit", stored, "--out", tmp_path / "paper.safetensors", "--recipe", "paper")
    assert figures["recipe"].startswith("paper, 12 rankings")
    assert load_weights(tmp_path / "paper.safetensors").parent == "lpips"


def test_rankings_of_one_target_give_the_parent_and_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    z = channel_distances(np.random.default_rng(0), 3)
    write_rankings(tmp_path / "one.jsonl", [Ranking("t", ranks=(1, 2, 3), z=z.astype(np.float16))])
    assert run("fit", tmp_path / "one.jsonl", "--out", tmp_path / "w.safetensors") == 0
    assert "no fit: all rankings share one target" in capsys.readouterr().out
    weights = load_weights(tmp_path / "w.safetensors")
    assert np.array_equal(weights.values, load_weights("balanced").values)
    assert "not supported" in weights.recipe


def test_where_nothing_can_be_held_out_the_missing_table_and_report_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[report]'")
    z = channel_distances(np.random.default_rng(0), 3)
    write_rankings(tmp_path / "one.jsonl", [Ranking("t", ranks=(1, 2, 3), z=z.astype(np.float16))])
    report = tmp_path / "report"
    assert run("fit", tmp_path / "one.jsonl", "--out", tmp_path / "w.safetensors", "--report", report) == 0
    assert f"no table, and no report in {report}: on targets not seen" in capsys.readouterr().out
    assert not report.exists()


def test_the_shipped_weights_for_materials_have_their_name() -> None:
    weights = load_weights("clpips-materials")
    assert (weights.name, weights.resolution, weights.backbone) == ("clpips-materials", 256, SHIPPED_FINGERPRINT)
    held_out = weights.agreement["held_out"]
    assert held_out["metric"]["vote_agreement"]["value"] > held_out["baseline"]["vote_agreement"]["value"] + 0.04
