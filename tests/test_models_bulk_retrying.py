"""Rows with errors are tried again as their images are now, whatever they were when the table was planned."""

from pathlib import Path
from typing import Any

import pytest

from clpips.models.bulk.errors import BulkError, TooManyErrorsError
from clpips.models.bulk.running import RunOptions
from tests.support.bulk import SIDE, image_files, parts, run_job, whole, write_table
from tests.support.pictures import encode, picture

IMAGES = 6
AGAIN = RunOptions(retry_errors=True)


def break_files(folder: Path, *numbers: int) -> None:
    """Leave the same bytes of all these images: none, so that content cannot tell them apart."""
    for number in numbers:
        (folder / f"{number}.png").write_bytes(b"")


def mend(folder: Path, *numbers: int) -> None:
    for number in numbers:
        (folder / f"{number}.png").write_bytes(encode(picture(number, SIDE)))


@pytest.mark.parametrize("changed", [{}, {"matrix": True}, {"shard_images": 2}, {"weights": "balanced"}])
def test_images_that_were_broken_and_are_mended_are_scored_as_if_they_had_never_been(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    names = image_files(tmp_path, IMAGES)
    table = write_table(tmp_path / "pairs.parquet", target=names, candidate=names[1:] + names[:1])
    run_job(table, tmp_path / "never", **changed)
    break_files(tmp_path, 1, 4)
    first = run_job(table, tmp_path / "out", **changed)
    assert first.bad_rows > 0
    mend(tmp_path, 1, 4)
    retried = run_job(table, tmp_path / "out", how=AGAIN, **changed)
    assert (retried.bad_rows, retried.pairs_here) == (0, first.bad_rows)
    assert whole(tmp_path / "out").equals(whole(tmp_path / "never"))


def test_what_is_still_broken_stays_an_error_and_what_was_good_is_not_read_again(tmp_path: Path) -> None:
    names = image_files(tmp_path, IMAGES)
    table = write_table(tmp_path / "pairs.parquet", target=names[:3], candidate=names[3:])
    break_files(tmp_path, 1, 2)
    run_job(table, tmp_path / "out")
    good = whole(tmp_path / "out").slice(0, 1)
    mend(tmp_path, 1)
    (tmp_path / "0.png").unlink()
    retried = run_job(table, tmp_path / "out", how=AGAIN)
    found = whole(tmp_path / "out")
    assert (retried.bad_rows, retried.pairs_here) == (1, 2)
    assert found.slice(0, 1).equals(good)
    assert found["error"].to_pylist() == [
        None,
        None,
        "target: the image is empty (0 bytes); send the bytes of an image file",
    ]


def test_a_job_that_too_many_errors_stopped_goes_on_once_they_are_mended(tmp_path: Path) -> None:
    image_files(tmp_path, IMAGES)
    names = ["9.png" if number < 1500 else "0.png" for number in range(2000)]
    table = write_table(tmp_path / "pairs.parquet", target=names, candidate=["1.png"] * 2000)
    changed: dict[str, Any] = {"shard_pairs": 250, "dedupe": "name"}
    with pytest.raises(TooManyErrorsError):
        run_job(table, tmp_path / "out", **changed)
    (tmp_path / "9.png").write_bytes((tmp_path / "2.png").read_bytes())
    done = run_job(table, tmp_path / "out", how=AGAIN, **changed)
    assert (done.rows, done.bad_rows) == (2000, 0)


def test_errors_that_are_not_mended_stop_a_job_that_tries_them_again(tmp_path: Path) -> None:
    image_files(tmp_path, IMAGES)
    table = write_table(tmp_path / "pairs.parquet", target=["9.png"] * 2000, candidate=["1.png"] * 2000)
    changed: dict[str, Any] = {"shard_pairs": 250, "dedupe": "name"}
    run_job(table, tmp_path / "out", how=RunOptions(max_error_share=1), **changed)
    with pytest.raises(TooManyErrorsError, match="1,000 of 1,000 rows have errors"):
        run_job(table, tmp_path / "out", how=AGAIN, **changed)


def test_more_time_for_images_may_be_given_to_a_job_that_goes_on(tmp_path: Path) -> None:
    names = image_files(tmp_path, 2)
    table = write_table(tmp_path / "pairs.parquet", target=names, candidate=names)
    run_job(table, tmp_path / "out", fetch_seconds=0.5)
    assert run_job(table, tmp_path / "out", how=AGAIN, fetch_seconds=60.0).rows == 2


def test_a_part_that_is_damaged_is_named_and_done_again_when_it_is_deleted(tmp_path: Path) -> None:
    names = image_files(tmp_path, 2)
    table = write_table(tmp_path / "pairs.parquet", target=names, candidate=names)
    run_job(table, tmp_path / "out")
    before = parts(tmp_path / "out")
    part = tmp_path / "out" / "part-000000.parquet"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(BulkError, match=r"part-000000\.parquet is no part of this job, or damaged: delete it"):
        run_job(table, tmp_path / "out")
    part.unlink()
    run_job(table, tmp_path / "out")
    assert parts(tmp_path / "out") == before
