"""Tables of any kind: odd types of columns come back as they are, and what cannot be scored is refused in words."""

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clpips.models.bulk import Scorer, score
from clpips.models.bulk import table as bulk_table
from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.folder import Folder
from clpips.models.bulk.sources import open_table
from tests.support.bulk import QUICK, image_files, run_job, whole

NAMES = ["0.png", "1.png", "2.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    image_files(folder, 4)
    return folder


def scored(folder: Path, columns: dict[str, Any], **changed: Any) -> pa.Table:
    return score(pa.table(columns), root=folder, **QUICK, **changed)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b", None], pa.string_view()),
        pa.array([b"a", b"b", None], pa.binary_view()),
        pa.array([{"a": "x"}, None, {"a": None}], pa.struct([("a", pa.string_view())])),
        pa.array([["x"], [], None], pa.list_(pa.string_view())),
        pa.array(["x", "y", "x"]).dictionary_encode(),
        pa.array([uuid.UUID(int=number).bytes for number in range(3)], pa.uuid()),
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(12, dtype=np.float32).reshape(3, 2, 2)),
        pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        pa.nulls(3),
        pa.array([np.float16(1)] * 3),
    ],
    ids=lambda column: str(column.type),
)
def test_a_column_of_any_type_comes_back(folder: Path, tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"target": NAMES, "candidate": NAMES, "odd": column}), tmp_path / "pairs.parquet")
    run_job(tmp_path / "pairs.parquet", tmp_path / "out", root=str(folder), shard_images=2)
    found = whole(tmp_path / "out")
    assert found["odd"].to_pylist() == column.to_pylist()
    assert found["distance"].to_pylist() == [0, 0, 0]


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_images_are_named_by_text_of_any_kind(folder: Path, kind: pa.DataType) -> None:
    found = scored(folder, {"target": pa.array(NAMES, kind), "candidate": pa.array(NAMES, kind)})
    assert found["distance"].to_pylist() == [0, 0, 0]


def test_columns_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("target,candidate,note,note\n0.png,1.png,1,2\n")
    for table in (tmp_path / "pairs.csv", pa.table([NAMES, NAMES, NAMES], ["target", "candidate", "candidate"])):
        with pytest.raises(BulkError, match=r"several columns called \w+: rename all but one"):
            score(table, root=folder, **QUICK)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([{}] * 3, pa.struct([])), "Parquet cannot hold the table"),
        (pa.array([pa.MonthDayNano([1, 2, 3])] * 3), "Parquet cannot hold the table"),
    ],
)
def test_a_table_that_parquet_cannot_hold_is_refused(folder: Path, column: pa.Array, words: str) -> None:
    with pytest.raises(BulkError, match=words):
        scored(folder, {"target": NAMES, "candidate": NAMES, "odd": column})


def test_words_of_a_csv_stay_words(folder: Path, tmp_path: Path) -> None:
    for name in ("NA", "null"):
        (folder / name).write_bytes((folder / "1.png").read_bytes())
    table = tmp_path / "pairs.csv"
    table.write_text("target,candidate,caption,number\n1.png,NA,null,NA\n1.png,null,n/a,1.5\n1.png,,a cat,2\n")
    run_job(table, tmp_path / "out", root=str(folder))
    found = whole(tmp_path / "out")
    assert found["candidate"].to_pylist() == ["NA", "null", ""]
    assert found["caption"].to_pylist() == ["null", "n/a", "a cat"]
    assert found["number"].to_pylist() == [None, 1.5, 2]
    assert found["distance"].to_pylist() == [0, 0, None]


@pytest.mark.parametrize("dedupe", ["content", "name"])
def test_no_name_is_taken_for_bytes_in_the_table(folder: Path, dedupe: str) -> None:
    content = (folder / "1.png").read_bytes()
    digest = scored(folder, {"target": [content], "candidate": [content]})["target_sha256"][0].as_py()
    names = [f"\0sha256:{digest}", "\0sha256:zz", "\0"]
    found = scored(folder, {"target": names, "candidate": [content] * 3}, dedupe=dedupe)
    assert found["error"].to_pylist() == ["target: a name has a zero byte in it"] * 3


def test_text_that_is_not_utf_8_is_refused(folder: Path) -> None:
    offsets = pa.array([0, 2], pa.int32()).buffers()[1]
    broken = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff\xfe")])
    with pytest.raises(BulkError, match="text that is not UTF-8"):
        scored(folder, {"target": broken, "candidate": ["1.png"]})


@pytest.mark.parametrize("resolution", [0, -5, 30, 8193])
def test_a_resolution_at_which_nothing_can_be_scored_is_refused(folder: Path, resolution: int) -> None:
    with pytest.raises(BulkError, match=f"31 to 8192 pixels a side, not {resolution}"):
        score(pa.table({"target": NAMES, "candidate": NAMES}), root=folder, resolution=resolution)


def test_rows_that_are_large_are_read_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [number.to_bytes(2) * 50_000 for number in range(40)]
    pq.write_table(pa.table({"target": contents}), tmp_path / "pairs.parquet", use_dictionary=False, row_group_size=5)
    monkeypatch.setattr(bulk_table, "BATCH_BYTES", 800_000)
    table = bulk_table.PairTable([str(tmp_path / "pairs.parquet")])
    batches = list(table.batches(["target"]))
    assert max(batch.nbytes for batch in batches) < 1_000_000
    assert [row for batch in batches for row in batch.column(0).to_pylist()] == contents


def test_an_image_that_parquet_keeps_once_is_not_held_for_each_of_its_rows(tmp_path: Path) -> None:
    target = np.random.default_rng(0).bytes(400_000)
    names = [f"{number}.png" for number in range(1500)]
    source = tmp_path / "pairs.parquet"
    pq.write_table(pa.table({"target": [target] * len(names), "candidate": names}), source)
    assert source.stat().st_size < 2 * len(target)
    work = Folder(tmp_path / "work")
    table = open_table(str(source), work, ())
    assert table.nbytes > 0.9 * len(target) * len(names)
    assert max(batch.nbytes for batch in table.batches(["target", "candidate"])) < 2 * bulk_table.BATCH_BYTES
    held = table.take(np.arange(len(names) - 3, len(names)))
    assert held.column("candidate").to_pylist() == names[-3:]
    assert max(group.rows for group in table.groups) * len(target) < 2 * bulk_table.BATCH_BYTES


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (pa.table({"target": [1], "candidate": ["0.png"]}), "is int64: images are text"),
        (pa.table([NAMES] * 3, ["target", "candidate", "target"]), "several columns called target"),
        (pa.table({"target": NAMES}), "no column 'candidate'"),
        ({"target": NAMES, "candidate": NAMES}, "not <class 'dict'>"),
    ],
)
def test_a_batch_that_cannot_be_scored_is_refused_in_words(folder: Path, batch: Any, words: str) -> None:
    with Scorer(root=folder, **QUICK) as scorer, pytest.raises(BulkError, match=words):
        scorer(batch)


@pytest.mark.parametrize("before", [b"", b"\n \t", b'{"target": "0.png", "candidate": "1.png"}\n' * 120_000])
def test_a_line_of_json_that_is_null_is_told(tmp_path: Path, before: bytes) -> None:
    (tmp_path / "pairs.jsonl").write_bytes(before + b'null\n{"target": "0.png", "candidate": "1.png"}\n')
    with pytest.raises(BulkError, match="a line of the table is `null`"):
        open_table(str(tmp_path / "pairs.jsonl"), Folder(str(tmp_path / "work")), [])


def test_a_parquet_file_that_is_damaged_is_bad_input_and_no_failure_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "pairs.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(BulkError, match="is a damaged Parquet file"):
        open_table(str(tmp_path / "pairs.parquet"), Folder(str(tmp_path / "work")), [])
