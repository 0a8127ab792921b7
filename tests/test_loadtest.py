"""The benchmarks start, and say what they lack."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_teaching_without_a_service_says_in_one_line_what_to_do() -> None:
    done = run("loadtest.teach", "--url", "http://127.0.0.1:9")  # a port that nothing listens on
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "start one with `clpips serve`" in done.stderr


def test_fits_are_timed_for_votes_and_for_rankings() -> None:
    done = run("loadtest.fitting", "--repeat", "1", "--rankings", "1", "--", "10")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 rankings of ten" in done.stdout
    assert "10 pairs" in done.stdout
