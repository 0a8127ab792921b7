"""The command for a machine with a GPU: a step that goes wrong costs itself alone, and what was found is kept."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadtest.device.rows import DEVICE, ROWS, STEP, Row, read_rows
from loadtest.device.running import GRACE_SECONDS, Step, run_step
from loadtest.device.summary import failed, table, write_summary
from loadtest.on_device import BUDGET_SECONDS, install, longest, run, steps

ROOT = Path(__file__).parent.parent
EMIT = "from loadtest.device.rows import emit, skip; "


def python(name: str, code: str, seconds: float = 30) -> Step:
    return Step(name, f"a step called {name}", [sys.executable, "-c", code], seconds)


def test_all_steps_together_take_less_than_eight_minutes_even_if_each_is_ended(tmp_path: Path) -> None:
    (tmp_path / "one.whl").touch()
    plan = [install(tmp_path, tmp_path / "site"), *steps(tmp_path / "site")]
    assert longest(plan) < BUDGET_SECONDS == 8 * 60


def test_every_step_is_a_module_that_is_there() -> None:
    modules = [step.command[2] for step in steps(Path("site"))]
    assert all((ROOT / f"{module.replace('.', '/')}.py").exists() for module in modules)
    assert [step.name for step in steps(Path("site"))] == [
        "machine",
        "kernels",
        "exactness",
        "rates",
        "wide",
        "one",
        "cores",
        "replicas",
    ]


def test_a_step_that_hangs_fails_or_has_nothing_to_do_costs_itself_alone(tmp_path: Path) -> None:
    plan = [
        python("hangs", EMIT + "emit('before', 1); import time; time.sleep(600)", seconds=5),
        python("crashes", "import os; os.abort()"),
        python("lacks", "import a_package_that_is_missing"),
        python("skips", EMIT + "skip('no CUDA here')"),
        Step("is not there", "no such program", [str(tmp_path / "nothing")], 5),
        python("works", EMIT + "emit('speed', 7, 'images/s', low=6, high=8)"),
    ]
    outcomes = run(plan, tmp_path / "out", "cuda")
    assert [outcome.state for outcome in outcomes] == ["timed out", "failed", "failed", "skipped", "failed", "done"]
    assert "SIGABRT" in outcomes[1].reason
    assert "No module named 'a_package_that_is_missing'" in outcomes[2].reason
    assert outcomes[3].reason == "no CUDA here"
    assert "nothing" in outcomes[4].reason
    assert failed(outcomes)
    assert not failed([outcomes[3], outcomes[5]])
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [row["what"] for row in written["rows"]] == ["before", "speed"]
    assert [step["state"] for step in written["steps"]] == [outcome.state for outcome in outcomes]
    text = (tmp_path / "out" / "summary.txt").read_text()
    assert "speed: 7 images/s (6 to 8)" in text
    assert "no CUDA here" in text


def test_nothing_is_left_of_a_step_whatever_session_it_started(tmp_path: Path) -> None:
    code = (
        "import subprocess, signal, sys, time, pathlib;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True);"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid));"
        "time.sleep(600)"
    )
    number = tmp_path / "pid"
    step = Step("stubborn", "", [sys.executable, "-c", code, str(number)], 5)
    started = time.monotonic()
    outcome = run_step(step, tmp_path / "rows", tmp_path / "log", "cuda", ROOT)
    assert outcome.state == "timed out"
    assert time.monotonic() - started < 5 + GRACE_SECONDS + 5
    assert not alive(int(number.read_text()))


def alive(process: int) -> bool:
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_step_that_freezes_what_it_started_is_ended_too(tmp_path: Path) -> None:
    code = (
        "import os, subprocess, signal, sys, pathlib;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True);"
        "os.kill(child.pid, signal.SIGSTOP);"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))"
    )
    number = tmp_path / "pid"
    step = Step("forgets", "", [sys.executable, "-c", code, str(number)], 30)
    assert run_step(step, tmp_path / "rows", tmp_path / "log", "cuda", ROOT).state == "done"
    assert not alive(int(number.read_text()))


def test_a_step_learns_its_name_its_device_and_where_rows_go(tmp_path: Path) -> None:
    code = f"import os, json; print(json.dumps([os.environ[name] for name in {[STEP, DEVICE, ROWS]}]))"
    log = tmp_path / "log"
    run_step(python("curious", code), tmp_path / "rows", log, "cpu", ROOT)
    assert json.loads(log.read_text().splitlines()[-1]) == ["curious", "cpu", str(tmp_path / "rows")]


def test_a_row_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    run_step(python("cut", EMIT + "emit('whole', 1)"), rows, tmp_path / "log", "cuda", ROOT)
    with rows.open("a") as file:
        file.write('{"step": "cut", "wha')
    assert [row.what for row in read_rows(rows)] == ["whole"]
    run_step(python("next", EMIT + "emit('after it', 2)"), rows, tmp_path / "log", "cuda", ROOT)
    assert [row.what for row in read_rows(rows)] == ["whole", "after it"]


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (Row("s", "w", 5, least=5), True),
        (Row("s", "w", 4.9, least=5), False),
        (Row("s", "w", 15, most=15), True),
        (Row("s", "w", 15.1, most=15), False),
        (Row("s", "w", float("nan"), most=15), False),
        (Row("s", "w", float("nan"), least=15), False),
        (Row("s", "w", 1), None),
    ],
)
def test_a_bar_is_held_or_missed(row: Row, holds: bool | None) -> None:
    assert row.holds is holds


def test_bars_stand_beside_figures_and_those_missed_at_the_end(tmp_path: Path) -> None:
    found = [Row("rates", "fast embed", 39_000, "images/s", least=40_000), Row("rates", "Spearman", 1, least=0.9999)]
    outcome = run_step(python("rates", ""), tmp_path / "rows", tmp_path / "log", "cuda", ROOT)
    text = table(found, [outcome])
    assert "fast embed: 39,000 images/s  [bar ≥ 40,000: MISSED]" in text
    assert "Spearman: 1  [bar ≥ 0.9999: held]" in text
    assert "bars: 1 of 2 held\n  missed: fast embed" in text
    assert not failed([outcome])


def test_the_summary_of_nothing_is_written_too(tmp_path: Path) -> None:
    write_summary(tmp_path, tmp_path / "rows", [])
    assert json.loads((tmp_path / "summary.json").read_text()) == {"steps": [], "rows": []}


def test_bars_of_a_gpu_are_not_held_against_a_cpu(tmp_path: Path) -> None:
    code = EMIT + "emit('fast', 1, least=2); emit('right', 1, least=2, anywhere=True)"
    run_step(python("both", code), tmp_path / "rows", tmp_path / "log", "cpu", ROOT)
    assert [row.holds for row in read_rows(tmp_path / "rows")] == [None, False]


def test_what_runs_the_steps_needs_nothing_but_the_standard_library() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            "import sys; sys.path.insert(0, '.'); import loadtest.on_device, loadtest.device.wheels",
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_without_a_gpu_a_step_for_cuda_is_skipped(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[torch]'")
    command = [sys.executable, "-m", "loadtest.on_device", "--only", "rates", "--out", str(tmp_path)]
    command += ["--wheels", str(tmp_path / "none")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "-- skipped" in done.stdout
    assert "no CUDA here" in done.stdout
