"""The command line away from home: other encodings, no HOME, hostile files and names; one line, no traceback."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from clpips.models.cli.commands import commands
from tests.support.pictures import encode, picture

NAMES = ("[red]a[/red].png", "[/b].png", "t.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures whose names are no markup, and rankings of them by people whose names are none either."""
    for seed, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encode(picture(seed, 48)))
    lines = [
        {"set": "[/s]", "rater": "[/red]", "target": NAMES[2], "candidates": NAMES[:2], "ranks": [1, 2]},
        {"set": "[b", "rater": "[bold]x", "target": NAMES[1], "candidates": [NAMES[0], NAMES[2]], "ranks": [2, 1]},
    ]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "CLPIPS_CACHE": str(folder / "cache"), **variables}
    command = [sys.executable, "-c", "from clpips.models.cli.commands import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
@pytest.mark.parametrize(
    "arguments", [("distance", "t.png", NAMES[1]), ("rank", "t.png", *NAMES[:2]), ("evaluate", "r.jsonl")]
)
def test_an_output_that_has_no_such_sign_loses_the_sign_alone(
    folder: Path, encoding: str, arguments: tuple[str, ...]
) -> None:
    done = run(folder, *arguments, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    done.stdout.decode(encoding)


def test_json_loses_nothing_in_any_encoding(folder: Path) -> None:
    (folder / "ρ.png").write_bytes(encode(picture(9, 48)))
    done = run(folder, "rank", "t.png", "ρ.png", "--json", PYTHONIOENCODING="cp1252", PYTHONUTF8="0")
    assert json.loads(done.stdout.decode("cp1252"))["ranking"][0]["path"] == "ρ.png"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("distance", "t.png", "nowhere.png"), 2), (("score", "pairs.csv", "--out", "scores"), 0)],
)
def test_what_cannot_be_told_on_standard_error_changes_nothing(
    folder: Path, arguments: tuple[str, ...], code: int
) -> None:
    (folder / "pairs.csv").write_text("target,candidate\nt.png,t.png\n")
    command = [sys.executable, "-c", "from clpips.models.cli.commands import main; main()", *arguments]
    with Path("/dev/full").open("w") as full:
        assert subprocess.run(command, cwd=folder, stderr=full, check=False).returncode == code


def test_more_workers_than_a_machine_bears_are_refused(folder: Path) -> None:
    (folder / "pairs.csv").write_text("target,candidate\nt.png,t.png\n")
    done = run(folder, "score", "pairs.csv", "--out", "scores", "--engine-workers", "100000")
    assert done.returncode == 2
    assert b"four for a core" in done.stderr


def test_brackets_in_names_are_brackets(folder: Path) -> None:
    done = run(folder, "rank", "t.png", *NAMES[:2], PYTHONIOENCODING="utf-8")
    assert done.returncode == 0
    assert all(name.encode() in done.stdout for name in NAMES[:2])
    done = run(folder, "evaluate", "r.jsonl", PYTHONIOENCODING="utf-8")
    assert done.returncode == 0, done.stderr


def test_a_name_that_ends_in_a_backslash_or_is_no_text_is_taken_everywhere(folder: Path) -> None:
    name = b"not text \xff.png"
    for one in (os.fsdecode(name), "back\\"):
        (folder / one).write_bytes((folder / "t.png").read_bytes())
    names = ("t.png", NAMES[0], "back\\", os.fsdecode(name))
    for command in ("rank", "matrix"):
        done = run(folder, command, *names, PYTHONIOENCODING="utf-8")
        assert done.returncode == 0, done.stderr
        assert "back\\ " in done.stdout.decode()
    told = json.loads(run(folder, "matrix", *names, "--json", PYTHONIOENCODING="utf-8").stdout)
    assert [os.fsencode(one) for one in told["images"]][-1] == name
    if importlib.util.find_spec("matplotlib"):
        done = run(folder, "matrix", *names, "--plot", "[plot].png")
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"x": ' + '{"a":' * 100_000, "nested too deeply"),
        ('{"target": ' + "[" * 100_000, "line 1"),
        (json.dumps({"target": "t\0.png", "candidates": ["a", "b"], "ranks": [1, 2]}), "NUL"),
        (json.dumps({"target": "t.png", "candidates": ["a\0", "b"], "ranks": [1, 2]}), "NUL"),
        (json.dumps({"target": "t" * 5000, "candidates": ["a", "b"], "ranks": [1, 2]}), ""),
        ('{"target": "\\ud800", "candidates": ["a", "b"], "ranks": [1, 2]}', "line 1"),
        ("\0" * 1000, "line 1"),
        ('{"target": "t.png", "candidates": ["a", "b"], "ranks": [' + "9" * 5000 + ", 1]}", "line 1"),
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.parametrize("command", [("evaluate",), ("fit", "--out", "w.safetensors")])
def test_a_hostile_ranking_file_is_told_and_not_traced_back(
    folder: Path, line: str, complaint: str, command: tuple[str, ...]
) -> None:
    (folder / "hostile.jsonl").write_text(line + "\n")
    done = run(folder, command[0], "hostile.jsonl", *command[1:])
    assert done.returncode == 2, done.stderr
    assert b"Traceback" not in done.stderr
    assert complaint in done.stderr.decode()
    assert len(done.stderr) < 20_000


def test_without_a_home_the_cache_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    for variable in ("CLPIPS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    done = CliRunner().invoke(commands, ["evaluate", str(folder / "r.jsonl")])
    assert done.exit_code == 2
    assert "--cache or CLPIPS_CACHE" in done.output
    assert CliRunner().invoke(commands, ["evaluate", "--help"]).exit_code == 0


@pytest.mark.parametrize("resolution", ["9460", "99999999999"])
def test_a_resolution_that_no_memory_holds_is_told(folder: Path, resolution: str) -> None:
    name = next(path.name for path in sorted(folder.iterdir()) if path.suffix == ".png")
    told = CliRunner().invoke(
        commands, ["distance", str(folder / name), str(folder / name), "--resolution", resolution]
    )
    assert told.exit_code == 2
    assert "9459 or less" in told.output
