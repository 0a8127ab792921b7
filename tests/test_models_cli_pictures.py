"""What the command line draws and writes: masks, matrices and heat maps."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import picture_folder, run, run_json
from tests.support.pictures import encode, picture


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return picture_folder(tmp_path)


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
