"""The command line as a person and as a program meet it."""

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clpips.models.cli.commands import main
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import save_weights
from tests.support.pictures import encode, picture, variation


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A target, three candidates from near to far, and things that are no images; also the working directory."""
    target = picture(1, 96)
    (tmp_path / "target.png").write_bytes(encode(target))
    for name, strength in (("far.webp", 0.9), ("near.jpg", 0.1), ("middle.bmp", 0.4)):
        format_ = {"webp": "WEBP", "jpg": "JPEG", "bmp": "BMP"}[name.split(".")[1]]
        (tmp_path / name).write_bytes(encode(variation(target, 2, strength), format_))
    (tmp_path / "wide.png").write_bytes(encode(picture(1, 96, 120)))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "cut.png").write_bytes(encode(target)[:400])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


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


def test_a_mask_says_what_of_the_target_counts(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    half = np.zeros((96, 96), np.uint8)
    half[:, :48] = 255
    Image.fromarray(half).save(folder / "half.png")
    np.save(folder / "all.npy", np.full((96, 96), 255, np.uint8))
    np.save(folder / "none.npy", np.zeros((96, 96), np.uint8))
    plain = run_json(capsys, "distance", "target.png", "far.webp")["distance"]
    assert run_json(capsys, "distance", "target.png", "far.webp", "--mask", "all.npy")["distance"] == plain
    masked = run_json(capsys, "distance", "target.png", "far.webp", "--mask", "half.png")["distance"]
    assert masked != plain
    ranking = run_json(capsys, "rank", "target.png", "far.webp", "--mask", "half.png")["ranking"]
    assert ranking[0]["distance"] == masked
    arguments = ("heatmap", "target.png", "far.webp", "--mask", "half.png", "--out", "m.npy")
    assert run_json(capsys, *arguments)["distance"] == masked
    assert np.load(folder / "m.npy").mean(dtype=np.float64) == pytest.approx(masked, abs=1e-6)
    for mask, said in (("none.npy", "0 everywhere"), ("wide.png", "has colours"), ("nowhere.png", "No such file")):
        assert run("rank", "target.png", "far.webp", "--mask", mask) == 2
        assert said in capsys.readouterr().err


def test_a_matrix_has_the_distances_of_all_pairs(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    names = ["target.png", "near.jpg", "x[final], 2.png"]
    (folder / names[2]).write_bytes((folder / "far.webp").read_bytes())
    answer = run_json(capsys, "matrix", *names, "--npy", "m.npy")
    distances = np.array(answer["distances"], np.float32)
    np.testing.assert_array_equal(np.load(folder / "m.npy"), distances)
    assert distances[0, 1] == np.float32(run_json(capsys, "distance", *names[:2])["distance"])
    assert answer["images"] == names
    assert answer["diversity"]["mean"] == pytest.approx(distances[np.triu_indices(3, 1)].mean())
    assert run("matrix", *names, "--csv") == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert rows[0] == ["", *names]
    assert [row[0] for row in rows[1:]] == names
    np.testing.assert_array_equal(np.array([row[1:] for row in rows[1:]], np.float32), distances)
    assert run("matrix", *names) == 0
    printed = capsys.readouterr().out
    assert "x[final], 2.png" in printed
    assert "diversity" in printed


def test_a_matrix_is_drawn(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    pytest.importorskip("matplotlib")
    (folder / "$x[b]_2.png").write_bytes((folder / "far.webp").read_bytes())
    assert run("matrix", "target.png", "near.jpg", "$x[b]_2.png", "--plot", "plot.png") == 0
    assert "wrote plot.png" in capsys.readouterr().out
    with Image.open(folder / "plot.png") as plot:
        assert min(plot.size) > 200


def test_a_heat_map_says_what_it_shows_and_what_has_no_place(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "a[final].png").write_bytes((folder / "target.png").read_bytes())
    answer = run_json(capsys, "heatmap", "far.webp", "a[final].png", "--out", "m[1].npy", "--weights", "balanced")
    values = np.load(folder / "m[1].npy")
    assert (values.shape, values.dtype) == ((256, 256), np.float32)
    assert values.mean(dtype=np.float64) == pytest.approx(answer["families"]["aligned"], abs=1e-6)
    assert answer["distance"] == pytest.approx(sum(answer["families"].values()), abs=1e-6)
    assert answer["unplaced"] == pytest.approx(1 - answer["families"]["aligned"] / answer["distance"])
    assert run("heatmap", "far.webp", "a[final].png", "--out", "m[1].png", "--style", "overlay", "--high", "0.5") == 0
    printed = capsys.readouterr().out
    assert "far.webp ↔ a[final].png" in printed
    assert "wrote m[1].png" in printed
    assert "colours from 0 to 0.5" in printed
    with Image.open(folder / "m[1].png") as picture_of_it:
        assert (picture_of_it.size, picture_of_it.mode) == ((256, 256), "RGB")


def test_files_have_the_names_and_the_kinds_that_they_were_given(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    assert run("matrix", "target.png", "near.jpg", "--npy", "m[1].bin") == 0
    assert np.load(folder / "m[1].bin").shape == (2, 2)
    assert run("heatmap", "target.png", "near.jpg", "--out", "m.NPY") == 0
    assert np.load(folder / "m.NPY").shape == (256, 256)
    before = {path.name for path in folder.iterdir()}
    pair = ("target.png", "near.jpg")
    for arguments, said in (
        (("heatmap", *pair, "--out", "m.jpg"), "a map is a .png picture or a .npy file of values, and m.jpg"),
        (("matrix", *pair, "--plot", "m.foo"), "a plot is a file that ends in .png or .svg, and this is m.foo"),
        (("matrix", *pair, "--plot", "m"), "ends in .png or .svg, and this is m"),
    ):
        assert run(*arguments) == 2
        assert said in capsys.readouterr().err
    assert {path.name for path in folder.iterdir()} == before


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("heatmap", "target.png", "near.jpg", "--out", "m.png", "--high"),
        ("heatmap", "target.png", "near.jpg", "--out", "m.png", "--style", "overlay", "--opacity"),
        ("fit", "r.jsonl", "--out", "w.safetensors", "--split"),
        ("score", "pairs.csv", "--out", "scores", "--max-error-share"),
        ("score", "pairs.csv", "--out", "scores", "--timeout"),
    ],
    ids=lambda arguments: arguments[-1],
)
def test_what_is_no_number_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], value: str
) -> None:
    assert run(*arguments, value) == 2
    assert f"Invalid value for '{arguments[-1]}'" in capsys.readouterr().err


def test_a_matrix_of_many_images_cuts_no_figure(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    names = [f"{'a picture with a long name '}{number}.png" for number in range(12)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(encode(picture(number, 40)))
    distances = run_json(capsys, "matrix", *names, "--resolution", "40")["distances"]
    assert run("matrix", *names, "--resolution", "40") == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert sorted(re.findall(r"\d\.\d{4}(?= │)", printed)) == sorted(f"{d:.4f}" for row in distances for d in row)


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
