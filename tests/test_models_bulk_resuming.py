"""A job goes on where it stopped, whatever stopped it, to the same bytes; and it refuses to mix two jobs."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clpips.models.bulk.errors import BulkError, TooManyErrorsError
from clpips.models.bulk.running import RunOptions
from tests.support.bulk import SIDE, image_files, parts, random_pairs, run_job, whole, write_table
from tests.support.pictures import encode, picture
from tests.support.processes import environment

IMAGES, PAIRS = 30, 160
SHARD_IMAGES = 4  # so that there are many parts to be stopped between


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of pairs in one connected group, and the same scored in one go."""
    folder = tmp_path_factory.mktemp("job")
    image_files(folder, IMAGES)
    targets, candidates = random_pairs(IMAGES, PAIRS)
    write_table(folder / "pairs.parquet", target=targets, candidate=candidates)
    run_job(folder / "pairs.parquet", folder / "once", shard_images=SHARD_IMAGES)
    return folder


def start(folder: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """`clpips score` in a process of its own."""
    asked = ["--resolution", str(SIDE), "--convolution", "direct", "--shard-images", str(SHARD_IMAGES)]
    command = [sys.executable, "-m", "clpips", "score", str(folder / "pairs.parquet"), "--out", str(out), *asked, *more]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_until(met: Callable[[], bool], process: subprocess.Popen[str]) -> bool:
    """Wait until a condition is met; whether that was before the process ended."""
    while not met():
        if process.poll() is not None:
            return False
        time.sleep(0.002)  # another process is what is waited for
    return True


@pytest.mark.timeout(400)  # six starts of the command, on a machine that may be busy
def test_a_job_that_is_killed_five_times_gives_the_bytes_of_one_that_is_not(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed = 0
    for _ in range(5):
        before = len(parts(out))
        with start(folder, out) as process:
            if wait_until(lambda: len(parts(out)) > before + 4, process):  # noqa: B023
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
    with start(folder, out) as process:
        _, said = process.communicate()
    assert process.returncode == 0, said
    assert killed == 5
    assert parts(out) == parts(folder / "once")
    assert {path.name for path in out.iterdir()} == {*parts(out), "_work", "_summary.json"}


def test_workers_in_processes_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    progress = run_job(folder / "pairs.parquet", tmp_path, workers=2, shard_images=SHARD_IMAGES)
    assert parts(tmp_path) == parts(folder / "once")
    assert progress.images == IMAGES


def test_processes_that_share_the_parts_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    second = start(folder, tmp_path, "--shard", "1/2")
    first = start(folder, tmp_path, "--shard", "0/2")
    for process in (first, second):
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert parts(tmp_path) == parts(folder / "once")


def test_ctrl_c_ends_in_order_and_the_same_command_goes_on(folder: Path, tmp_path: Path) -> None:
    with start(folder, tmp_path) as process:
        assert wait_until(lambda: len(parts(tmp_path)) > 2, process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, said = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert lines[-1]["stage"] == "scoring"
    assert lines[-1]["all_pairs"] == PAIRS
    run_job(folder / "pairs.parquet", tmp_path, shard_images=SHARD_IMAGES)
    assert parts(tmp_path) == parts(folder / "once")


def test_what_is_there_is_not_done_again(folder: Path, tmp_path: Path) -> None:
    run_job(folder / "pairs.parquet", tmp_path, shard_images=SHARD_IMAGES)
    kept, lost, *_ = sorted(tmp_path.glob("part-*.parquet"))
    kept.write_bytes(before := kept.read_bytes())
    stamp = kept.stat().st_mtime_ns
    lost.unlink()
    progress = run_job(folder / "pairs.parquet", tmp_path, shard_images=SHARD_IMAGES)
    assert progress.pairs == PAIRS
    assert 0 < progress.pairs_here < PAIRS / 4
    assert (kept.stat().st_mtime_ns, kept.read_bytes()) == (stamp, before)
    assert parts(tmp_path) == parts(folder / "once")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"weights": "balanced"}, "weights name was 'lpips', now it is 'balanced'"),
        ({"resolution": 96}, "options resolution was 64, now it is 96"),
        ({"convolution": "winograd"}, "engine convolution was 'direct', now it is 'winograd'"),
        ({"dedupe": "name"}, "options dedupe was 'content', now it is 'name'"),
    ],
)
def test_another_job_in_the_same_folder_is_refused_with_the_difference(
    folder: Path, changed: dict[str, Any], words: str
) -> None:
    before = parts(folder / "once")
    with pytest.raises(BulkError, match=words):
        run_job(folder / "pairs.parquet", folder / "once", **{"shard_images": SHARD_IMAGES, **changed})
    assert parts(folder / "once") == before


def test_another_table_is_refused_with_the_difference(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "pairs.parquet"
    targets, candidates = random_pairs(IMAGES, PAIRS, seed=1)
    write_table(other, target=targets, candidate=candidates)
    with pytest.raises(BulkError, match=r"table pairs\.parquet was '\d+ bytes, sha256 .*now it is"):
        run_job(other, folder / "once", shard_images=SHARD_IMAGES)


def test_a_folder_with_other_files_is_refused_and_left_as_it_is(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(BulkError, match=r"holds other files \(thesis\.tex"):
        run_job(folder / "pairs.parquet", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("first,second\n0.png,1.png\n", "no column 'target'"),
        ("target,candidate\n", "has no rows"),
        ("", "is empty: write at least one pair"),
    ],
)
def test_a_table_that_was_refused_is_scored_into_the_same_folder_once_it_is_mended(
    folder: Path, tmp_path: Path, content: str, words: str
) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(content)
    with pytest.raises(BulkError, match=words):
        run_job(table, tmp_path / "out", root=str(folder))
    table.write_text("target,candidate\n0.png,1.png\n")
    mended = run_job(table, tmp_path / "out", root=str(folder), weights="balanced")
    assert (mended.rows, mended.bad_rows) == (1, 0)
    assert whole(tmp_path / "out")["distance"][0].as_py() > 0


def test_errors_that_were_there_before_are_in_the_summary_of_a_job_that_is_run_again(
    folder: Path, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "pairs.parquet", target=["0.png", "1.png"], candidate=["none.png", "2.png"])
    first = run_job(table, tmp_path / "out", root=str(folder))
    again = run_job(table, tmp_path / "out", root=str(folder))
    assert again.pairs_here == 0
    assert again.commonest() == first.commonest() == [("candidate: No such file or directory", 1)]
    summary = json.loads((tmp_path / "out" / "_summary.json").read_text())
    assert summary["errors"] == {"candidate: No such file or directory": 1}


def test_a_full_disk_is_told_with_the_file_that_had_no_room(folder: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # fails as a disk without room does
    try:
        with pytest.raises(OSError, match="File too large") as full:
            run_job(folder / "pairs.parquet", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(full.value.filename).startswith(str(tmp_path / "out" / "_work"))
    done = run_job(folder / "pairs.parquet", tmp_path / "out")
    assert (done.rows, done.bad_rows) == (PAIRS, 0)


def test_two_processes_in_one_folder_do_not_get_in_each_others_way(folder: Path, tmp_path: Path) -> None:
    with start(folder, tmp_path) as process:
        assert wait_until(lambda: len(parts(tmp_path)) > 0, process)
        with pytest.raises(BulkError, match="another process works in"):
            run_job(folder / "pairs.parquet", tmp_path, shard_images=SHARD_IMAGES)
        _, said = process.communicate()
    assert process.returncode == 0, said


def test_errors_are_tried_again_alone_and_the_table_is_as_if_there_had_been_none(folder: Path, tmp_path: Path) -> None:
    image_files(tmp_path, IMAGES)
    (tmp_path / "3.png").write_bytes(b"")
    (tmp_path / "5.png").unlink()
    table = tmp_path / "pairs.parquet"
    table.write_bytes((folder / "pairs.parquet").read_bytes())
    first = run_job(table, tmp_path / "out", shard_images=SHARD_IMAGES, dedupe="name")
    wrong = whole(tmp_path / "out").filter(whole(tmp_path / "out")["error"].is_valid())
    assert first.bad_rows == wrong.num_rows > 0
    again = run_job(table, tmp_path / "out", shard_images=SHARD_IMAGES, dedupe="name")
    assert (again.pairs_here, again.bad_rows) == (0, first.bad_rows)
    for name, number in (("3.png", 3), ("5.png", 5)):
        (tmp_path / name).write_bytes(encode(picture(number, SIDE)))
    how = RunOptions(retry_errors=True)
    retried = run_job(table, tmp_path / "out", shard_images=SHARD_IMAGES, dedupe="name", how=how)
    assert (retried.pairs_here, retried.bad_rows) == (first.bad_rows, 0)
    run_job(table, tmp_path / "fresh", shard_images=SHARD_IMAGES, dedupe="name")
    assert parts(tmp_path / "out") == parts(tmp_path / "fresh")


def test_too_many_errors_stop_the_job_early_with_the_commonest(folder: Path, tmp_path: Path) -> None:
    names = ["0.png" if number % 4 == 0 else f"none-{number}.png" for number in range(3000)]
    table = write_table(tmp_path / "pairs.parquet", target=names, candidate=["1.png"] * 3000)
    with pytest.raises(TooManyErrorsError) as stopped:
        run_job(table, tmp_path / "out", root=str(folder), dedupe="name", shard_pairs=250)
    assert "× target: No such file or directory" in str(stopped.value)
    assert "--retry-errors" in str(stopped.value)
    assert 0 < len(parts(tmp_path / "out")) < 12
    everything = run_job(
        table, tmp_path / "out", root=str(folder), dedupe="name", shard_pairs=250, how=RunOptions(max_error_share=1)
    )
    assert (everything.rows, everything.bad_rows) == (3000, 2250)
