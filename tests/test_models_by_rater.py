"""One fit a person: tables of people and of targets, new people and new targets told apart."""

import json
from pathlib import Path

import numpy as np
import pytest

from clpips.models.cli.commands import main
from clpips.models.fitting.by_rater import fit_by_rater
from clpips.models.fitting.rater_results import ByRater
from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from clpips.models.metric.packing import pack_z
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.files import Ranking, RankingsError
from clpips.models.rankings.splitting import split_rankings
from tests.support.observers import Observer, person
from tests.support.rankings import write_rankings
from tests.test_models_evaluation import data_set

PEOPLE, TARGETS = 3, 16


@pytest.fixture(scope="module")
def found() -> ByRater:
    raters = [Observer(person(seed).weights, noise=0.1) for seed in range(PEOPLE)]
    measured = data_set(raters, TARGETS, 6, seed=1)
    return fit_by_rater(measured, load_weights("balanced"), load_weights("lpips"), by="target")


def test_each_person_has_a_line_and_weights_of_their_own(found: ByRater) -> None:
    assert [line.name for line in found.people] == list(found.weights) == ["p0", "p1", "p2"]
    assert all(line.learned == 11 and line.judged == 5 for line in found.people)
    assert not np.array_equal(found.weights["p0"], found.weights["p1"])


def test_each_held_out_target_has_a_line_that_all_people_are_in(found: ByRater) -> None:
    assert [line.judged for line in found.targets] == [PEOPLE] * 5


def test_a_share_is_the_mean_of_its_lines(found: ByRater) -> None:
    lead = np.mean([line.own - line.baseline for line in found.people])
    assert lead == pytest.approx(found.own.both.value)
    assert lead == pytest.approx(np.mean([line.own - line.baseline for line in found.targets]))


def test_three_people_cannot_speak_of_others_and_five_targets_can_a_little(found: ByRater) -> None:
    assert found.own.new_people.p >= 0.25
    assert found.own.new_targets.p >= 1 / 16
    assert found.own.both.p >= max(found.own.new_people.p, found.own.new_targets.p)
    assert np.isnan(found.own.both.low)


def test_the_json_is_json(found: ByRater) -> None:
    figures = found.as_json()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert set(figures["lead"]["own"]) == {"new_targets", "new_people", "both"}
    assert figures["held_out_on"] == "targets not seen"


def test_rankings_without_raters_are_refused() -> None:
    measured = data_set([person(1)], 4, 3, seed=1)
    with pytest.raises(RankingsError, match="two people or more"):
        fit_by_rater(measured, load_weights("balanced"), load_weights("lpips"))


def test_a_split_by_rater_keeps_people_apart() -> None:
    rankings = [Ranking(f"t{place % 5}", ("a", "b"), ranks=(1, 2), rater=f"p{place // 5}") for place in range(50)]
    split = split_rankings(rankings, by="rater")
    assert (len(split.fit), len(split.held_out), split.words) == (35, 15, "people not seen")
    assert {ranking.rater for ranking in split.fit}.isdisjoint(ranking.rater for ranking in split.held_out)
    assert "split by rater" in str(split.warning)
    with pytest.raises(RankingsError, match="a rater in every ranking"):
        split_rankings([*rankings, Ranking("t", ("a", "b"), ranks=(1, 2))], by="rater")


def people_file(path: Path, names: dict[str, str], targets: int = 8, candidates: int = 5) -> Path:
    """Rankings of simulated people under other names."""
    measured = data_set([person(seed) for seed in range(len(names))], targets, candidates, seed=2)
    rankings = [
        Ranking(
            ranking.target, ranks=ranking.ranks, rater=names[ranking.rater], z=pack_z(measured.rows[rows]),
            backbone=SHIPPED_FINGERPRINT, resolution=256,
        )
        for ranking, rows in zip(measured.rankings, measured.rows_of, strict=True)
    ]  # fmt: skip
    return write_rankings(path, rankings)


def test_people_whose_names_make_the_same_file_name_have_a_file_each(tmp_path: Path) -> None:
    names = {"p0": "b c", "p1": "b_c", "p2": "B_C", "p3": "x" * 300}
    file = people_file(tmp_path / "people.jsonl", names)
    with pytest.raises(SystemExit):
        main(["fit", str(file), "--out", str(tmp_path / "mine.safetensors"), "--by", "rater"])
    recipes = {load_weights(path).recipe for path in tmp_path.glob("mine.*.safetensors")}
    assert recipes == {f"convex, 8 rankings of {name}" for name in names.values()}


def test_a_person_who_supports_no_fit_has_a_file_that_says_so(tmp_path: Path) -> None:
    file = people_file(tmp_path / "people.jsonl", {"p0": "ada", "p1": "bob"})
    lines = file.read_text().splitlines()
    bob = [place for place, line in enumerate(lines) if '"bob"' in line]
    file.write_text("\n".join(line for place, line in enumerate(lines) if place not in bob[1:]) + "\n")
    with pytest.raises(SystemExit):
        main(["fit", str(file), "--out", str(tmp_path / "mine.safetensors"), "--by", "rater"])
    weights = load_weights(tmp_path / "mine.bob.safetensors")
    assert weights.recipe.startswith("convex, not supported by 1 ranking of bob: all rankings share one target")
    assert np.array_equal(weights.values, load_weights("balanced").values)
    assert not weights.trained_on
    assert len(load_weights(tmp_path / "mine.ada.safetensors").trained_on.rankings) == 8


@pytest.mark.parametrize(("names", "more"), [({"p0": "ada"}, []), ({"p0": "a", "p1": "b"}, ["--split-by", "rater"])])
def test_what_cannot_be_fitted_by_person_is_told_before_anything_is_computed(
    tmp_path: Path, names: dict[str, str], more: list[str]
) -> None:
    file, out = people_file(tmp_path / "people.jsonl", names), tmp_path / "mine.safetensors"
    with pytest.raises(SystemExit) as stopped:
        main(["fit", str(file), "--out", str(out), "--by", "rater", *more])
    assert stopped.value.code == 2
    assert not out.exists()


def test_the_command_writes_a_file_a_person_and_prints_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = data_set([person(seed) for seed in range(2)], 8, 5, seed=2)
    rankings = [
        Ranking(
            ranking.target, ranks=ranking.ranks, rater=f"{ranking.rater}/x", z=pack_z(measured.rows[rows]),
            backbone=SHIPPED_FINGERPRINT, resolution=256,
        )
        for ranking, rows in zip(measured.rankings, measured.rows_of, strict=True)
    ]  # fmt: skip
    file = write_rankings(tmp_path / "people.jsonl", rankings)
    with pytest.raises(SystemExit):
        main(["fit", str(file), "--out", str(tmp_path / "mine.safetensors"), "--by", "rater"])
    printed = capsys.readouterr().out
    assert "of new people" in printed
    assert load_weights(tmp_path / "mine.p0_x.safetensors").recipe == "convex, 8 rankings of p0/x"
    assert len(load_weights(tmp_path / "mine.p0_x.safetensors").trained_on.rankings) == 8
