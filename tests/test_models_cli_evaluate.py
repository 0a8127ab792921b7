"""`clpips evaluate` as a person and as a program meet it, and what neither command can do."""

import json
import re
from pathlib import Path
from time import monotonic

import pytest

from clpips.models.cli.output import progress_bar
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import save_weights
from tests.support import learning
from tests.support.learning import TARGETS, run, run_json
from tests.support.observers import person

own_cache = learning.own_cache
stored = learning.stored
pictured = learning.pictured


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


def test_images_are_measured_once_and_then_known(pictured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run_json(capsys, "evaluate", pictured, "--resolution", 48)
    for image in pictured.parent.glob("*-1.png"):
        assert image.exists()
    assert run_json(capsys, "evaluate", pictured, "--resolution", 48) == first


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


@pytest.mark.parametrize("columns", ["50", "80"])
def test_a_narrow_terminal_leaves_no_column_out(
    stored: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert run("evaluate", stored, "--weights", "balanced") == 0
    (heading,) = [line for line in capsys.readouterr().out.splitlines() if line.endswith("difference ")]
    assert heading.split() == ["lpips", "balanced", "difference"]


def test_progress_off_a_terminal_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    said, deadline = "", monotonic() + 30
    with progress_bar("channel distances", line_seconds=0.01) as step:
        step(1200, 5000)
        while "1,200 of" not in said and monotonic() < deadline:
            said += capsys.readouterr().err
    assert "channel distances: 1,200 of 5,000, 0 s" in said


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
