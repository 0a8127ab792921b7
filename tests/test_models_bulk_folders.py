"""Where a job works: what it deletes, from where names count, and who may be in its folder."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import threadpoolctl

from clpips.models.bulk import score
from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.executors import InlineExecutor
from clpips.models.bulk.folder import local_path
from clpips.models.bulk.job import Job
from clpips.models.bulk.progress import Progress
from clpips.models.bulk.running import RunOptions, run
from clpips.models.bulk.worker import Worker
from tests.support.bulk import QUICK, SIDE, image_files, options, parts, random_pairs, run_job, whole, write_table
from tests.support.processes import environment

IMAGES = 8


def pairs_in(folder: Path, seed: int = 0) -> Path:
    image_files(folder, IMAGES)
    targets, candidates = random_pairs(IMAGES, 30, seed)
    return write_table(folder / "pairs.parquet", target=targets, candidate=candidates)


def clpips_score(folder: Path, *arguments: str) -> None:
    """The command in a folder of its own."""
    quick = ["--resolution", str(SIDE), "--convolution", "direct"]
    done = subprocess.run(
        [sys.executable, "-m", "clpips", "score", *arguments, *quick],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_folder_for_features_loses_nothing_that_was_there(tmp_path: Path) -> None:
    table = pairs_in(tmp_path / "in")
    spill = tmp_path / "scratch"
    spill.mkdir()
    (spill / "thesis.tex").write_text("years of work")
    asked = options(shard_images=4)
    job = Job(tmp_path / "out", str(spill))
    executor = InlineExecutor(Worker(str(tmp_path / "out"), asked, spill=str(spill)))
    spilled: set[str] = set()
    run(
        job,
        str(table),
        asked,
        asked.load_weights(),
        executor,
        report=lambda _: spilled.update(path.suffix for path in spill.rglob("*")),
    )
    executor.close()
    assert ".features" in spilled
    assert [path.name for path in spill.iterdir()] == ["thesis.tex"]


def test_relative_names_of_folders_mean_the_same_from_another_working_directory(tmp_path: Path) -> None:
    pairs_in(tmp_path / "images")
    (tmp_path / "tables").mkdir()
    (tmp_path / "images" / "pairs.parquet").rename(tmp_path / "tables" / "pairs.parquet")
    clpips_score(tmp_path, "tables/pairs.parquet", "--root", "images", "--out", "out", "--plan-only")
    clpips_score(tmp_path / "tables", "pairs.parquet", "--root", "../images/../images", "--out", "../out2")
    clpips_score(tmp_path / "tables", "pairs.parquet", "--root", str(tmp_path / "images"), "--out", "../out")
    assert whole(tmp_path / "out")["error"].null_count == 30
    assert parts(tmp_path / "out") == parts(tmp_path / "out2")


def test_the_same_table_beside_other_images_is_another_job(tmp_path: Path) -> None:
    table = pairs_in(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    run_job(table, tmp_path / "out")
    with pytest.raises(BulkError, match=r"root was '.*/a', now it is '.*/b'"):
        run_job(tmp_path / "b" / "pairs.parquet", tmp_path / "out")


def test_urls_of_files_are_decoded_unless_a_file_is_called_so(tmp_path: Path) -> None:
    folder = tmp_path / "grün 100%"
    pairs_in(folder)
    (folder / "a%20b.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "a b.png").write_bytes((folder / "1.png").read_bytes())
    names = [f"file://{folder}/a%20b.png", (folder / "a b.png").as_uri(), f"file://localhost{folder}/1.png"]
    table = write_table(folder / "urls.parquet", target=names, candidate=["0.png", "1.png", "1.png"])
    run_job(table.as_uri(), (tmp_path / "the out").as_uri())
    assert whole(tmp_path / "the out")["distance"].to_pylist() == [0, 0, 0]
    assert local_path("s3://bucket/a%20b.png") == "s3://bucket/a%20b.png"


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    image_files(tmp_path, 1)
    os.mkfifo(tmp_path / "pipe.png")
    table = write_table(tmp_path / "pairs.parquet", target=["0.png"] * 2, candidate=["pipe.png", "/dev/zero"])
    thread = threading.Thread(target=run_job, args=(table, tmp_path / "out"), daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert set(whole(tmp_path / "out")["error"].to_pylist()) == {
        "candidate: it is no file: a device, a pipe or a socket"
    }


def test_who_shares_the_parts_keeps_out_who_would_have_them_alone(tmp_path: Path) -> None:
    table = pairs_in(tmp_path / "in")
    refused: list[str] = []

    def try_alone(progress: Progress) -> None:
        if progress.stage == "scoring" and not refused:
            with pytest.raises(BulkError, match="another process works in") as error:
                run_job(table, tmp_path / "out")
            refused.append(str(error.value))

    asked = options()
    executor = InlineExecutor(Worker(str(tmp_path / "out"), asked))
    how = RunOptions(share=(0, 1))
    done = run(Job(tmp_path / "out"), str(table), asked, asked.load_weights(), executor, how, try_alone)
    executor.close()
    assert refused
    assert done.rows == 30


def test_scoring_in_a_process_leaves_its_matrix_products_their_threads(tmp_path: Path) -> None:
    table = pairs_in(tmp_path)
    with threadpoolctl.threadpool_limits(2):
        before = threadpoolctl.threadpool_info()
        score(table, **QUICK)
        assert threadpoolctl.threadpool_info() == before
