"""`clpips fit` and `clpips evaluate` as a person and as a program meet them."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from clpips.models.cli.commands import main
from clpips.models.cli.output import progress_bar
from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import load_weights, save_weights
from clpips.models.rankings.files import Ranking, read_rankings
from tests.support.observers import channel_distances, person
from tests.support.pictures import encode, picture, variation
from tests.support.rankings import write_rankings

TARGETS, CANDIDATES = 12, 4


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLPIPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Rankings by one person, with channel distances in place of images."""
    somebody, rng = person(1), np.random.default_rng(1)
    rankings = []
    for target in range(TARGETS):
        z = channel_distances(rng, 6).astype(np.float16)
        ranks = tuple(somebody.rank(z.astype(np.float32), rng).tolist())
        rankings.append(
            Ranking(f"t{target}", ranks=ranks, z=z, set=str(target), backbone=SHIPPED_FINGERPRINT, resolution=256)
        )
    return write_rankings(tmp_path / "stored.jsonl", rankings)


@pytest.fixture
def pictured(tmp_path: Path) -> Path:
    """Rankings of image files: the more of another picture a candidate holds, the less similar it is."""
    rankings = []
    for target in range(TARGETS):
        pixels = picture(target, 64)
        (tmp_path / f"{target}.png").write_bytes(encode(pixels))
        names = []
        for number in range(CANDIDATES):
            names.append(str(tmp_path / f"{target}-{number}.png"))
            content = encode(variation(pixels, 10 * target + number, 0.2 * (number + 1)))
            Path(names[-1]).write_bytes(content)
        ranks = tuple(float(rank) for rank in np.roll(range(1, CANDIDATES + 1), target % 3))
        rankings.append(Ranking(str(tmp_path / f"{target}.png"), tuple(names), ranks=ranks, set=f"set {target}"))
    return write_rankings(tmp_path / "pictured.jsonl", rankings)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


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
    from clpips.models.rankings.files import read_rankings
    from clpips.models.rankings.pairs import join_pairs, pairs_of_ranking

    run_json(capsys, "fit", stored, "--out", tmp_path / "mine.safetensors")
    sets = [
        pairs_of_ranking(ranking.z.astype(np.float32), ranking.order, target)
        for target, ranking in enumerate(sorted(read_rankings(stored), key=lambda ranking: ranking.target))
        if ranking.z is not None
    ]
    online = fit_convex(join_pairs(sets)).weights
    assert np.allclose(load_weights(tmp_path / "mine.safetensors").values, online, rtol=0.01, atol=1e-3 * online.max())


def test_evaluate_prints_one_object_for_programs(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_weights(LayerWeights(person(1).weights, "theirs"), tmp_path / "theirs.safetensors")
    answer = run_json(capsys, "evaluate", stored, "--weights", tmp_path / "theirs.safetensors")
    assert {"sets", "pairs", "metric", "baseline", "difference"} <= set(answer)
    assert set(answer["metric"]) >= {
        "name", "pair_agreement", "vote_agreement", "vote_ceiling", "spearman", "icc2_1", "icc2_k",
    }  # fmt: skip
    assert set(answer["metric"]["icc2_1"]) == {"value", "low", "high", "p"}
    assert (answer["metric"]["name"], answer["baseline"]["name"]) == ("theirs", "lpips")
    assert answer["metric"]["pair_agreement"]["value"] > 0.99
    assert answer["difference"]["pair_agreement"]["low"] > 0


def test_judging_weights_by_what_they_were_fitted_to_is_said_as_loudly_as_the_figure(
    pictured: Path, stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.safetensors"
    run_json(capsys, "fit", pictured, "--out", out, "--resolution", 48)
    judged = ("evaluate", pictured, "--weights", out, "--resolution", 48)
    figures = run_json(capsys, *judged)
    assert figures["in_sample"] is True
    assert figures["seen_in_fitting"]["metric"] == {"rankings": 1, "images": 1}
    assert run(*judged) == 0
    printed = capsys.readouterr().out
    assert "IN SAMPLE: mine was fitted to 100 % of these rankings and 100 % of these" in printed
    assert "in sample, mine against lpips" in printed
    assert run_json(capsys, "evaluate", stored, "--weights", out)["in_sample"] is False


def test_where_few_targets_are_held_out_the_figure_to_quote_is_out_of_fold(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = run_json(capsys, "fit", stored, "--out", tmp_path / "mine.safetensors")
    assert (figures["headline"], figures["held_out"]["targets"]) == ("cross_validated", 4)
    assert run("fit", stored, "--out", tmp_path / "mine.safetensors") == 0
    assert "of all 12 targets" in (printed := capsys.readouterr().out)
    assert "this is the figure to quote" in printed


def test_images_are_measured_once_and_then_known(pictured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run_json(capsys, "evaluate", pictured, "--resolution", 48)
    for image in pictured.parent.glob("*-1.png"):
        assert image.exists()
    assert run_json(capsys, "evaluate", pictured, "--resolution", 48) == first


def test_the_report_is_one_page_that_refers_to_nothing_outside(
    pictured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[report]'")
    report = ("--report", tmp_path / "report", "--draws", 1)
    figures = run_json(capsys, "fit", pictured, "--out", tmp_path / "w.safetensors", "--resolution", 48, *report)
    page = (tmp_path / "report" / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert "<script" not in page
    for words in ("Learning curve", "ICC(2,1)", "best:", "median:", "worst:", "people", "conv5"):
        assert words in page
    assert page.count('src="data:image/jpeg') == 3 * 3 * (CANDIDATES + 1)
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == figures
    assert [point["rankings"] for point in figures["learning_curve"] if point["recipe"] == "convex"] == [8]


def test_tables_and_plots_lie_beside_the_report_as_files(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[report]'")
    folder = tmp_path / "report"
    figures = run_json(capsys, "evaluate", stored, "--report", folder)
    assert {path.name for path in folder.iterdir()} == {
        "report.html", "report.json", "choices.csv", "choices.tex", "table-3.csv", "table-3.tex", "table-4.csv",
        "table-4.tex", "layers.svg", "layers.pdf", "ranks.svg", "ranks.pdf",
    }  # fmt: skip
    with (folder / "table-4.csv").open() as file:
        rows = {row["statistic"]: row for row in csv.DictReader(file)}
    assert float(rows["ICC(2,1)"]["lpips value"]) == figures["baseline"]["icc2_1"]["value"]
    assert r"$\rho$, ranks pooled & " in (folder / "table-3.tex").read_text()
    assert (folder / "ranks.pdf").read_bytes().startswith(b"%PDF")
    page = (folder / "report.html").read_text()
    assert "Table 3: Spearman" in page
    assert "Table 4: intraclass" in page
    assert "prefers-color-scheme: dark" in page
    for words in ("clpips", "seed", "command", "backbone", "weights judged"):
        assert f"<td>{words}</td>" in page


def test_a_report_by_rater_tells_new_people_from_new_targets(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[report]'")
    two = [replace(each, rater=rater) for each in read_rankings(stored) for rater in ("ada", "bob")]
    file = write_rankings(tmp_path / "two.jsonl", two)
    options = ("--by", "rater", "--report", tmp_path / "report", "--draws", 1)
    figures = run_json(capsys, "fit", file, "--out", tmp_path / "w.safetensors", *options)
    assert [line["name"] for line in figures["by_rater"]["people"]] == ["ada", "bob"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<th>of new targets</th><th>of new people</th>" in page


def test_eighty_columns_cut_no_number(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a-name-that-is-too-long-for-a-column-of-any-table"
    save_weights(LayerWeights(person(1).weights, name), tmp_path / "theirs.safetensors")
    arguments = ("evaluate", stored, "--weights", tmp_path / "theirs.safetensors")
    figures = run_json(capsys, *arguments)
    assert run(*arguments) == 0
    printed = capsys.readouterr().out
    table = [line for line in printed.splitlines() if len(line) <= 80]
    assert "…" not in "".join(table).replace("… the most", "").replace("… undefined", "")
    for side in ("metric", "baseline"):
        low, high = (figures[side]["icc2_1"][end] for end in ("low", "high"))
        assert any(f"[{low:.3f}, {high:.3f}]" in line for line in table)
    assert "took " in printed
    assert " in all" in printed


def test_progress_off_a_terminal_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    said, deadline = "", monotonic() + 30
    with progress_bar("channel distances", line_seconds=0.01) as step:
        step(1200, 5000)
        while "1,200 of" not in said and monotonic() < deadline:
            said += capsys.readouterr().err
    assert "channel distances: 1,200 of 5,000, 0 s" in said


def test_the_parts_of_a_commands_time_add_up(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    took = run_json(capsys, "fit", stored, "--out", tmp_path / "mine.safetensors")["took"]
    assert {"channel distances", "the fit", "other"} <= took.keys()
    assert sum(took.values()) == pytest.approx(2 * took["total"])


def test_a_report_of_stored_channel_distances_has_no_images(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[report]'")
    run_json(capsys, "evaluate", stored, "--report", tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "ICC(2,1)" in page
    assert "data:image/jpeg" not in page


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


def test_every_bad_line_and_every_bad_image_is_named(
    pictured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"target": 1}\nnonsense\n')
    assert run("evaluate", bad) == 2
    error = capsys.readouterr().err
    assert "bad.jsonl: 2 of its lines cannot be used" in error
    assert re.search(r"line 1: .*\n.*line 2: ", error)
    (tmp_path / "3.png").unlink()
    (tmp_path / "4-1.png").write_bytes(b"no image")
    assert run("evaluate", pictured, "--resolution", 48) == 2
    error = capsys.readouterr().err
    assert "3.png: No such file" in error
    assert "4-1.png: " in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "nowhere.jsonl"], "nowhere.jsonl: No such file"),
        (["evaluate", "stored.jsonl", "--weights", "nobody"], "give a file, or one of the shipped: lpips"),
        (["fit", "stored.jsonl", "--out", "no/such/folder/w.safetensors"], "there is no folder"),
        (["fit", "stored.jsonl", "--out", "w.safetensors", "--split", "1"], "1.0 is not in the range"),
        (["fit", "stored.jsonl", "--out", "w.safetensors", "--split-by", "image"], "split them by target"),
        (["evaluate", "stored.jsonl", "--resolution", "64"], "another backbone or resolution"),
    ],
)
@pytest.mark.usefixtures("stored")
def test_what_cannot_be_done_is_said_in_words(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_weights_are_not_judged_by_channel_distances_that_lack_what_they_count(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [json.loads(line) for line in stored.read_text().splitlines()]
    for fields in lines:
        fields["z"] = {name: fields["z"][name] for name in ("aligned", "mean", "std")}
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps(fields) + "\n" for fields in lines))
    assert run("evaluate", bare, "--weights", "balanced") == 2
    assert "says nothing of content_mean, content_std" in " ".join(capsys.readouterr().err.split())
    assert run("evaluate", bare) == 0
    assert "say nothing of" not in capsys.readouterr().out
    bare.write_text(bare.read_text() + stored.read_text())
    warned = run_json(capsys, "evaluate", bare, "--weights", "balanced")["warnings"]
    assert any(f"{TARGETS} of {2 * TARGETS} rankings say nothing of content_mean, content_std" in one for one in warned)


def test_the_shipped_weights_for_materials_have_their_name() -> None:
    weights = load_weights("clpips-materials")
    assert (weights.name, weights.resolution, weights.backbone) == ("clpips-materials", 256, SHIPPED_FINGERPRINT)
    held_out = weights.agreement["held_out"]
    assert held_out["metric"]["vote_agreement"]["value"] > held_out["baseline"]["vote_agreement"]["value"] + 0.04
