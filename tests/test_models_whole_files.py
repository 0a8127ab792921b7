"""Files that are written whole: what stood there stays until all is there, and what is no file stays what it is."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clpips.models.cli.commands import main
from clpips.models.metric.weights_files import load_weights, parse_weights, save_weights
from clpips.models.metric.whole_files import write_whole
from tests.support.pictures import encode, picture


def test_a_disk_that_is_full_leaves_what_stood_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, _: Any) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "w"
    write_whole(path, b"old")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_whole(path, b"new")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("w", b"old")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "command", [("heatmap", "t.png", "t.png"), pytest.param(("export-lpips", "lpips"), marks=pytest.mark.torch)]
)
@pytest.mark.parametrize("name", ["full", "full.npy"])
def test_a_command_names_the_file_that_finds_no_room(
    command: tuple[str, ...],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.png").write_bytes(encode(picture(1, 48)))
    Path(name).symlink_to("/dev/full")
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--out", name])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "clpips: /dev/full: No space left on device\n"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_pipe_stays_a_pipe_and_gets_the_weights(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as thread:
        came = thread.submit(pipe.read_bytes)
        save_weights(load_weights("lpips"), pipe)
        assert parse_weights(came.result()).name == "lpips"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["", ".", "..", "/"])
def test_a_folder_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IsADirectoryError):
        write_whole(Path(name), b"weights")


@pytest.mark.torch
def test_an_empty_name_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["export-lpips", "lpips", "--out", ""])
    assert stopped.value.code == 2
    assert "Is a directory" in capsys.readouterr().err
