"""Bulk scoring: the distances of a table are those of the metric, whatever its images are."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from clpips import __version__
from clpips.models.api import Metric
from clpips.models.bulk import Scorer, score
from clpips.models.bulk.errors import BulkError
from clpips.models.cli.commands import main
from clpips.models.engines.contract import Engine
from clpips.models.metric.families import PLACES
from clpips.models.metric.weights import LayerWeights, WeightsError, combine_families
from clpips.models.metric.weights_files import load_weights, save_weights
from tests.support.bulk import QUICK, SIDE, image_files, parts, random_pairs, run_job, whole, write_table
from tests.support.pictures import encode, picture

IMAGES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image files, and tables of pairs of them: one connected group of twelve images."""
    folder = tmp_path_factory.mktemp("images")
    image_files(folder, IMAGES)
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "broken.png").write_bytes((folder / "1.png").read_bytes()[:700])
    targets, candidates = random_pairs(IMAGES, 40)
    numbers = list(range(40))
    write_table(folder / "pairs.parquet", id=numbers, target=targets, candidate=candidates)
    return folder


def expected(engine: Engine, table: pa.Table, weights: str | LayerWeights = "lpips") -> list[float]:
    """The distances of pairs of image files by the metric itself."""
    metric = Metric(load_weights(weights) if isinstance(weights, str) else weights, engine, SIDE)
    names = zip(table["target"].to_pylist(), table["candidate"].to_pylist(), strict=True)
    pixels = {f"{number}.png": picture(number, SIDE) for number in range(IMAGES)}
    embedded = {name: metric.embed([image])[0] for name, image in pixels.items()}
    return [metric.distance(embedded[target], embedded[candidate]).value for target, candidate in names]


@pytest.mark.parametrize("weights", ["lpips", "balanced"])
@pytest.mark.parametrize("shard_images", [0, 4])
def test_distances_are_those_of_the_metric_also_where_a_group_is_split(
    folder: Path, tmp_path: Path, engine: Engine, weights: str, shard_images: int
) -> None:
    progress = run_job(folder / "pairs.parquet", tmp_path, weights=weights, shard_images=shard_images)
    table = whole(tmp_path)
    assert table["distance"].to_pylist() == expected(engine, table, weights)
    assert progress.images == progress.all_images == IMAGES
    assert len(parts(tmp_path)) == progress.parts == (1 if shard_images == 0 else progress.all_parts)
    assert (shard_images == 0) == (progress.parts == 1)


def test_layers_and_families_add_up_to_the_distance(folder: Path, tmp_path: Path) -> None:
    run_job(folder / "pairs.parquet", tmp_path, weights="balanced")
    table = whole(tmp_path)
    families = np.array([list(each.values()) for each in table["families"].to_pylist()])
    layers = np.array(table["layers"].to_pylist())
    distances = np.array(table["distance"].to_pylist())
    assert layers.shape == (40, 5)
    np.testing.assert_allclose(families.sum(axis=1), distances, rtol=1e-5)
    np.testing.assert_allclose(layers.sum(axis=1), families[:, :3].sum(axis=1), rtol=1e-5)


def without_aligned(tmp_path: Path) -> tuple[str, LayerWeights]:
    """Weights of statistics alone, with a channel that counts for nothing, and their file."""
    balanced = load_weights("balanced")
    families = {name: balanced.values[place].copy() for name, place in PLACES.items() if name != "aligned"}
    families["std"][:100] = 0
    weights = LayerWeights(combine_families(families), "statistics")
    save_weights(weights, tmp_path / "statistics.safetensors")
    return str(tmp_path / "statistics.safetensors"), weights


@pytest.mark.parametrize("matrix", [False, True])
def test_weights_of_statistics_alone_are_matrix_products_with_the_same_distances(
    folder: Path, tmp_path: Path, engine: Engine, matrix: bool
) -> None:
    file, weights = without_aligned(tmp_path)
    if matrix:
        source = write_table(folder / "list.parquet", target=[f"{number}.png" for number in range(IMAGES)])
    else:
        source = folder / "pairs.parquet"
    run_job(source, tmp_path / "out", weights=file, matrix=matrix, shard_images=8)
    table = whole(tmp_path / "out")
    np.testing.assert_allclose(table["distance"].to_pylist(), expected(engine, table, weights), rtol=1e-6, atol=1e-9)
    same = np.array(table["target"].to_pylist()) == np.array(table["candidate"].to_pylist())
    assert not np.array(table["distance"].to_pylist())[same].any()


@pytest.mark.parametrize("shard_images", [0, 6])
def test_all_pairs_of_a_list_are_those_of_the_metrics_matrix(folder: Path, engine: Engine, shard_images: int) -> None:
    names = [f"{number}.png" for number in range(IMAGES)]
    table = score(pa.table({"target": names}), root=folder, matrix=True, shard_images=shard_images, **QUICK)
    found = np.zeros((IMAGES, IMAGES), np.float32)
    found[table["target_row"], table["candidate_row"]] = table["distance"]
    matrix = Metric(load_weights("lpips"), engine, SIDE).matrix([picture(number, SIDE) for number in range(IMAGES)])
    assert np.array_equal(found, np.triu(matrix))
    assert table["row"].to_pylist() == list(range(IMAGES * (IMAGES - 1) // 2))
    assert (table["target"][0].as_py(), table["candidate"][0].as_py()) == ("0.png", "1.png")


def test_every_input_row_and_column_comes_back_in_order_within_its_part(folder: Path, tmp_path: Path) -> None:
    run_job(folder / "pairs.parquet", tmp_path, shard_images=4)
    source = pq.read_table(folder / "pairs.parquet")
    assert whole(tmp_path).select(source.column_names).equals(source)
    for name in parts(tmp_path):
        rows = pq.read_table(tmp_path / name)["row"].to_pylist()
        assert rows == sorted(rows)


def test_parts_say_what_made_them(folder: Path, tmp_path: Path, engine: Engine) -> None:
    run_job(folder / "pairs.parquet", tmp_path)
    metadata = pq.read_schema(tmp_path / "part-000000.parquet").metadata
    weights = hashlib.sha256(load_weights("lpips").values.tobytes()).hexdigest()
    assert {
        "clpips.version": __version__,
        "clpips.weights": "lpips",
        "clpips.weights_sha256": weights,
        "clpips.backbone": engine.fingerprint,
        "clpips.resolution": str(SIDE),
        "clpips.engine": "onnx",
        "clpips.convolution": "direct",
    }.items() <= {key.decode(): value.decode() for key, value in metadata.items()}.items()


def test_images_are_told_apart_by_their_bytes(folder: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "pairs.parquet", target=["0.png", "./0.png"], candidate=["1.png", "copy.png"])
    progress = run_job(table, tmp_path / "out", root=str(folder))
    found = whole(tmp_path / "out")
    assert (progress.images, progress.all_images) == (2, 2)
    assert found["distance"][1].as_py() == 0
    digest = hashlib.sha256((folder / "0.png").read_bytes()).hexdigest()
    assert found["target_sha256"].to_pylist() == [digest, digest]
    by_name = run_job(table, tmp_path / "by-name", root=str(folder), dedupe="name")
    assert (by_name.images, by_name.all_images) == (2, 4)  # within a shard names of the same bytes are found out
    assert whole(tmp_path / "by-name").equals(found)


def contents(folder: Path, names: list[str]) -> list[bytes]:
    return [(folder / name).read_bytes() for name in names]


@pytest.mark.parametrize("kind", ["bytes", "struct", "csv", "jsonl", "large", "folder"])
def test_images_are_names_bytes_or_both_in_any_format_of_table(folder: Path, tmp_path: Path, kind: str) -> None:
    source = pq.read_table(folder / "pairs.parquet")
    names = {side: source[side].to_pylist() for side in ("target", "candidate")}
    columns: dict[str, Any] = {"id": source["id"]}
    path = tmp_path / "pairs.parquet"
    if kind == "bytes":
        path = write_table(path, **columns, **{side: contents(folder, found) for side, found in names.items()})
    elif kind == "struct":  # as Hugging Face datasets have them
        cells = [[{"bytes": None, "path": name} for name in found] for found in names.values()]
        cells[1] = [{"bytes": content, "path": None} for content in contents(folder, names["candidate"])]
        path = write_table(path, **columns, target=cells[0], candidate=cells[1])
    elif kind == "csv":
        path = tmp_path / "pairs.csv"
        pa_csv.write_csv(source, path)
    elif kind == "jsonl":
        path = tmp_path / "pairs.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in source.to_pylist()))
    elif kind == "large":
        kinds = {"target": pa.large_string(), "candidate": pa.dictionary(pa.int32(), pa.string())}
        cast = pa.schema([(name, kinds.get(name, pa.int64())) for name in source.column_names])
        pq.write_table(source.cast(cast), path, row_group_size=7)
    else:
        path = tmp_path / "parts"
        path.mkdir()
        for start in range(0, 40, 15):
            pq.write_table(source.slice(start, 15), path / f"{start:03}.parquet")
    run_job(path, tmp_path / "out", root=str(folder))
    run_job(folder / "pairs.parquet", tmp_path / "plain")
    found, plain = whole(tmp_path / "out"), whole(tmp_path / "plain")
    for name in ("id", "row", "distance", "target_sha256", "error"):
        assert found[name].to_pylist() == plain[name].to_pylist(), name


def test_a_target_may_have_a_list_of_candidates(folder: Path, tmp_path: Path) -> None:
    lists = [["1.png", "2.png"], [], ["0.png", "broken.png", "3.png"], None]
    table = write_table(tmp_path / "sets.parquet", target=["0.png", "1.png", "2.png", "3.png"], candidate=lists)
    progress = run_job(table, tmp_path / "out", root=str(folder))
    found = whole(tmp_path / "out").to_pylist()
    pairs = write_table(
        tmp_path / "pairs.parquet", target=["0.png", "0.png", "2.png"], candidate=["1.png", "2.png", "0.png"]
    )
    run_job(pairs, tmp_path / "pairs", root=str(folder))
    one, two, three = whole(tmp_path / "pairs")["distance"].to_pylist()
    assert [row["distance"] for row in found][:2] == [[one, two], []]
    assert found[2]["distance"][:2] == [three, None]
    assert [bool(each) for each in found[2]["error"]] == [False, True, False]
    assert found[0]["target_sha256"] == hashlib.sha256((folder / "0.png").read_bytes()).hexdigest()
    assert len(found[2]["layers"][0]) == 5
    assert (progress.rows, progress.pairs, progress.bad_rows) == (4, 5, 1)


def test_what_is_wrong_with_an_image_stands_in_its_rows_and_stops_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "huge.npy").write_bytes((folder / "0.png").read_bytes() * 3)
    names = ["broken.png", "none.png", "", None, "huge.npy", str(tmp_path), "a\0b", "gopher://x/y.png", "0.png"]
    table = write_table(tmp_path / "pairs.parquet", target=names, candidate=["1.png"] * len(names))
    limit = len((folder / "0.png").read_bytes()) * 2
    for name in ("broken.png", "0.png", "1.png"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    progress = run_job(table, tmp_path / "out", max_file_bytes=limit)
    said = whole(tmp_path / "out")["error"].to_pylist()
    assert progress.bad_rows == len(names) - 1
    for words, wanted in zip(
        said,
        [
            "target: the PNG image is truncated or damaged (700 bytes came); send the whole file",
            "target: No such file or directory",
            "target: no image is named: the cell is empty",
            "target: no image is named: the cell is empty",
            "the limit is",
            "target: Is a directory",
            "target: a name has a zero byte in it",
            "target: gopher://",
            None,
        ],
        strict=True,
    ):
        assert words is None if wanted is None else wanted in words, words


def test_at_native_size_images_of_a_pair_must_be_equally_large(tmp_path: Path, engine: Engine) -> None:
    for name, side in (("a", 64), ("b", 64), ("c", 96)):
        (tmp_path / f"{name}.png").write_bytes(encode(picture(side, side)))
    table = write_table(tmp_path / "pairs.parquet", target=["a.png", "a.png"], candidate=["b.png", "c.png"])
    run_job(table, tmp_path / "out", resolution=None)
    found = whole(tmp_path / "out").to_pylist()
    assert found[0]["distance"] == 0
    assert found[1]["distance"] is None
    assert "candidate: 96×96 pixels, its target has 64×64" in found[1]["error"]


@pytest.mark.parametrize(
    ("columns", "changed", "words"),
    [
        ({"a": ["x"], "candidate": ["y"]}, {}, "no column 'target'"),
        ({"target": [1.5], "candidate": ["y"]}, {}, "images are text, bytes"),
        ({"target": ["x"], "candidate": ["y"], "error": ["z"]}, {}, "--drop error"),
        ({"target": ["x"], "candidate": ["y"]}, {"drop": ("z",)}, "no column z to drop"),
        ({"target": [], "candidate": []}, {}, "no rows"),
        ({"target": ["x"]}, {"matrix": True}, "two images or more"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused(
    tmp_path: Path, columns: dict[str, list[Any]], changed: dict[str, Any], words: str
) -> None:
    table = write_table(tmp_path / "pairs.parquet", **columns)
    with pytest.raises(BulkError, match=words):
        run_job(table, tmp_path / "out", **changed)


def test_columns_are_left_out_where_that_is_asked_for(folder: Path) -> None:
    source = pq.read_table(folder / "pairs.parquet")
    found = score(source, root=folder, drop=("id",), **QUICK)
    assert "id" not in found.column_names
    assert found["target"].to_pylist() == source["target"].to_pylist()


def test_a_batch_at_a_time_gives_the_same_rows(folder: Path) -> None:
    source = pq.read_table(folder / "pairs.parquet")
    at_once = score(source, root=folder, **QUICK)
    with Scorer(root=folder, **QUICK) as scorer:
        found = pa.concat_tables([scorer(source.slice(start, 15)) for start in range(0, 40, 15)])
    assert found.equals(at_once)


def test_pandas_frames_and_urls_of_files_are_tables_too(folder: Path, tmp_path: Path) -> None:
    source = pq.read_table(folder / "pairs.parquet").slice(0, 5)
    frame = source.to_pandas()
    frame["target"] = [f"file://{folder}/{name}" for name in frame["target"]]
    found = score(frame, root=folder, **QUICK)
    assert found["distance"].to_pylist() == score(source, root=folder, **QUICK)["distance"].to_pylist()


def test_with_a_folder_the_parts_stay_there_as_a_dataset(folder: Path, tmp_path: Path) -> None:
    found = score(folder / "pairs.parquet", out=tmp_path / "out", shard_images=4, **QUICK)
    assert found.count_rows() == 40
    assert found.to_table().sort_by("row").equals(whole(tmp_path / "out"))


@pytest.mark.parametrize(("weights", "title"), [("lpips-vgg", "VGG16"), ("lpips-squeeze", "SqueezeNet 1.1")])
def test_weights_of_another_backbone_are_refused_in_one_line_and_leave_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], weights: str, title: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["score", str(folder / "pairs.parquet"), "--out", str(tmp_path / "out"), "--weights", weights])
    (said,) = capsys.readouterr().err.splitlines()
    assert f"AlexNet alone, and the weights '{weights}' belong to {title}: take lpips, balanced, clpips-mat" in said
    assert not (tmp_path / "out").exists()
    with pytest.raises(WeightsError, match="knows AlexNet alone"):
        Scorer(weights)
