"""Reports of `clpips fit` and `clpips evaluate`: one page, with tables and plots beside it."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from clpips.models.cli.data_set import made
from clpips.models.metric.content import CONTENT_FINGERPRINT
from clpips.models.metric.weights_files import load_weights, save_weights
from clpips.models.rankings.files import read_rankings
from tests.support import learning
from tests.support.learning import CANDIDATES, run_json
from tests.support.rankings import write_rankings

own_cache = learning.own_cache
stored = learning.stored
pictured = learning.pictured


def test_the_report_is_one_page_that_refers_to_nothing_outside(
    pictured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[report]'")
    report = ("--report", tmp_path / "report", "--draws", 1)
    figures = run_json(capsys, "fit", pictured, "--out", tmp_path / "w.safetensors", "--resolution", 48, *report)
    page = (tmp_path / "report" / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert "<script" not in page
    assert page.index("this is the figure to quote") < page.index("sign-flip test")
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


@pytest.mark.parametrize("name", [r"$\frac$", "_mine", "=1+1", "日本"])
def test_a_report_has_the_name_of_weights_as_it_is(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[report]'")
    weights, folder = tmp_path / f"{name}.safetensors", tmp_path / "report"
    save_weights(replace(load_weights("balanced"), name=name), weights)
    run_json(capsys, "evaluate", stored, "--weights", weights, "--report", folder)
    assert f">aligned by {name}</text>" in (folder / "layers.svg").read_text()
    assert f">rank by {name}</text>" in (folder / "ranks.svg").read_text()
    escaped = name.replace("\\", r"\textbackslash{}").replace("$", r"\$").replace("_", r"\_")
    assert f"& lpips & {escaped} &" in (folder / "table-3.tex").read_text()
    with (folder / "table-3.csv").open(encoding="utf-8") as file:
        assert not [cell for cell in next(csv.reader(file)) if cell.startswith("=")]


def test_tables_as_files_say_what_was_judged_and_whether_it_is_in_sample(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[report]'")
    weights, folder = tmp_path / "w.safetensors", tmp_path / "report"
    run_json(capsys, "fit", stored, "--out", weights, "--report", folder, "--draws", 1)
    assert judged(folder / "table-3.csv") == {("targets not seen", "no")}
    assert ", on targets not seen. w against lpips" in (folder / "table-3.tex").read_text()
    run_json(capsys, "evaluate", stored, "--weights", weights, "--report", folder)
    assert judged(folder / "table-3.csv") == {(f"all rankings of {stored.name}", "yes")}
    assert "in sample, w against lpips" in (folder / "table-3.tex").read_text()


def judged(path: Path) -> set[tuple[str, str]]:
    """What a table's lines say of what was judged."""
    with path.open(encoding="utf-8") as file:
        return {(row["on"], row["in sample"]) for row in csv.DictReader(file)}


def test_figures_name_the_content_network_where_weights_use_it(stored: Path) -> None:
    lpips, balanced = load_weights("lpips"), load_weights("balanced")
    assert "content network" not in made(stored, lpips.backbone, {"judged": lpips})
    named = made(stored, lpips.backbone, {"judged": balanced, "compared with": lpips})
    assert named["content network"] == f"sha256 {CONTENT_FINGERPRINT[:16]}"


def test_a_report_by_rater_tells_new_people_from_new_targets(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[report]'")
    two = [replace(each, rater=rater) for each in read_rankings(stored) for rater in ("lab-1/ada", "lab-2/ada")]
    file = write_rankings(tmp_path / "two.jsonl", two)
    options = ("--by", "rater", "--report", tmp_path / "report", "--draws", 1)
    figures = run_json(capsys, "fit", file, "--out", tmp_path / "w.safetensors", *options)
    assert [line["name"] for line in figures["by_rater"]["people"]] == ["lab-1/ada", "lab-2/ada"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<th>of new targets</th><th>of new people</th>" in page
    assert "<td>lab-1/ada</td>" in page
    assert "<td>lab-2/ada</td>" in page


def test_a_report_of_stored_channel_distances_has_no_images(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: pip install -e '.[report]'")
    run_json(capsys, "evaluate", stored, "--report", tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "ICC(2,1)" in page
    assert "data:image/jpeg" not in page
