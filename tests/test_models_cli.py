"""The command line as a person and as a program meet it."""

import os
from pathlib import Path

import numpy as np
import pytest

from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import save_weights
from tests.support.command_line import picture_folder, run, run_json


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return picture_folder(tmp_path)


@pytest.mark.usefixtures("folder")
def test_distance_prints_one_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run_json(capsys, "distance", "target.png", "near.jpg")
    assert set(answer) == {"distance", "layers", "families", "weights", "resolution"}
    assert answer["distance"] == pytest.approx(sum(answer["layers"]), abs=1e-6)
    assert (answer["weights"], answer["resolution"], len(answer["layers"])) == ("lpips", 256, 5)


@pytest.mark.usefixtures("folder")
def test_distance_prints_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    expected = run_json(capsys, "distance", "target.png", "near.jpg")
    assert run("distance", "target.png", "near.jpg") == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{expected['distance']:.4f}  target.png ↔ near.jpg")
    assert "conv5" in printed
    assert "aligned" in printed
    assert "std" not in printed  # a family that the weights do not use


@pytest.mark.usefixtures("folder")
def test_distance_by_several_families_prints_each_and_their_sum(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run_json(capsys, "distance", "target.png", "near.jpg", "--weights", "balanced")
    assert sum(answer["families"].values()) == pytest.approx(answer["distance"], abs=1e-6)
    assert all(part > 0 for part in answer["families"].values())
    assert run("distance", "target.png", "near.jpg", "--weights", "balanced") == 0
    printed = capsys.readouterr().out
    for name, part in answer["families"].items():
        assert name in printed
        assert f"{part:.4f}" in printed
    assert printed.count(f"{answer['distance']:.4f}") == 2  # above the table, and where its sums meet


@pytest.mark.usefixtures("folder")
def test_an_image_is_at_distance_zero_from_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_json(capsys, "distance", "target.png", "target.png", "--resolution", "native")["distance"] == 0


@pytest.mark.usefixtures("folder")
def test_rank_orders_the_candidates(capsys: pytest.CaptureFixture[str]) -> None:
    ranking = run_json(capsys, "rank", "target.png", "far.webp", "near.jpg", "middle.bmp")["ranking"]
    assert [(row["rank"], row["path"]) for row in ranking] == [(1, "near.jpg"), (2, "middle.bmp"), (3, "far.webp")]
    assert run("rank", "target.png", "far.webp", "near.jpg") == 0
    printed = capsys.readouterr().out
    assert printed.index("near.jpg") < printed.index("far.webp")


def test_brackets_and_colons_in_a_file_name_are_printed(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "near.jpg").rename(folder / "near[final].jpg")
    assert run("rank", "target.png", "near[final].jpg", "far.webp") == 0
    assert run("distance", "target.png", "near[final].jpg") == 0
    assert capsys.readouterr().out.count("near[final].jpg") == 2
    (folder / "far.webp").rename(folder / "far:smile:[b].webp")
    assert run("rank", "target.png", "far:smile:[b].webp") == 0
    assert run("matrix", "target.png", "far:smile:[b].webp") == 0
    assert capsys.readouterr().out.count("far:smile:[b].webp") == 2


@pytest.mark.usefixtures("folder")
def test_rank_and_distance_agree(capsys: pytest.CaptureFixture[str]) -> None:
    ranking = run_json(capsys, "rank", "target.png", "far.webp", "near.jpg")["ranking"]
    for row in ranking:
        single = run_json(capsys, "distance", "target.png", row["path"])
        assert single["distance"] == pytest.approx(row["distance"], abs=1e-6)


@pytest.mark.usefixtures("folder")
def test_equal_distances_keep_the_order_given(capsys: pytest.CaptureFixture[str]) -> None:
    ranking = run_json(capsys, "rank", "target.png", "near.jpg", "target.png", "near.jpg")["ranking"]
    assert [row["path"] for row in ranking] == ["target.png", "near.jpg", "near.jpg"]


def test_other_weights_give_other_distances(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    save_weights(LayerWeights(np.full(6016, 2, np.float32), name="twos"), folder / "twos.safetensors")
    answer = run_json(capsys, "distance", "target.png", "near.jpg", "--weights", "twos.safetensors")
    assert answer["weights"] == "twos"
    assert answer["distance"] != run_json(capsys, "distance", "target.png", "near.jpg")["distance"]


def test_weights_of_another_backbone_are_refused(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    save_weights(LayerWeights(np.ones(6016, np.float32), name="w", backbone="ab" * 32), folder / "w.safetensors")
    assert run("distance", "target.png", "near.jpg", "--weights", "w.safetensors") == 2
    assert "belong to the backbone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["distance", "target.png", "nowhere.png"], ["nowhere.png", "No such file"]),
        (["distance", "target.png", "notes.txt"], ["notes.txt", "no image in a format"]),
        (["rank", "target.png", "cut.png", "near.jpg", "nowhere.png"], ["cut.png", "truncated", "nowhere.png"]),
        (
            ["distance", "target.png", "wide.png", "--resolution", "native"],
            ["target.png is 96×96", "wide.png is 120×96"],
        ),
        (["distance", "target.png", "near.jpg", "--resolution", "7"], ["7 is too small"]),
        (["distance", "target.png", "near.jpg", "--resolution", "big"], ["'big' is neither"]),
        (["distance", "target.png", "near.jpg", "--weights", "lpisp"], ["lpisp", "shipped"]),
        (["distance", "target.png", "."], [".: Is a directory"]),
        (["distance", "target.png"], ["Missing argument"]),
        (["rank", "target.png"], ["Missing argument"]),
        (["matrix", "target.png"], ["two images or more"]),
        (["matrix", "target.png", "wide.png", "--resolution", "native"], ["wide.png is 120×96"]),
        (["matrix", "target.png", "near.jpg", "--json", "--csv"], ["--json or --csv"]),
        (["heatmap", "target.png", "near.jpg"], ["Missing option '--out'"]),
        (["heatmap", "target.png", "near.jpg", "--out", "m.npy", "--style", "overlay"], ["an overlay is a picture"]),
        (["heatmap", "target.png", "near.jpg", "--out", "nowhere/m.png"], ["nowhere/m.png", "No such file"]),
        (["heatmap", "target.png", "a[/b].png", "--out", "m.png"], ["a[/b].png", "No such file"]),
        (["mirror"], ["No such command"]),
        (["distance", "target.png", "near.jpg", "--loud"], ["--loud"]),
    ],
)
@pytest.mark.usefixtures("folder")
def test_bad_input_is_one_clear_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]
) -> None:
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("clpips: ")
    assert all(part in captured.err for part in parts), captured.err


@pytest.mark.usefixtures("folder")
def test_the_backbone_can_be_named_in_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLPIPS_BACKBONE", os.fspath(Path("notes.txt")))
    assert run("distance", "target.png", "near.jpg") == 2
    assert "notes.txt is not a safetensors file" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["distance"], ["rank"], ["export"]])
def test_help_explains_every_command(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert run(*command, "--help") == 0
    assert "Usage: clpips" in capsys.readouterr().out


@pytest.mark.torch
def test_export_prints_its_parity(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    answer = run_json(capsys, "export", "--out", "out/clpips.onnx")
    assert all((folder / path).exists() for path in answer["files"])
    assert max(row["largest_difference"] for row in answer["parity"]) <= 1e-5
    assert run("export", "--out", "out/clpips.onnx") == 0
    assert "largest difference" in capsys.readouterr().out
