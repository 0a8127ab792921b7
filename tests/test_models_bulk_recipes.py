"""The recipes of docs/bulk.md for other libraries run, where those are installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from clpips.models.api import Metric
from clpips.models.engines.contract import Engine
from clpips.models.metric.weights_files import load_weights
from tests.support.documents import ROOT, blocks
from tests.support.pictures import encode, picture
from tests.support.processes import environment


@pytest.mark.parametrize("library", ["datasets", "ray"])
def test_the_recipe_for_a_library_gives_the_metrics_distances(library: str, tmp_path: Path, engine: Engine) -> None:
    pytest.importorskip(library, reason=f"needs {library}, which make dev installs")
    [recipe] = [
        block
        for block in blocks(ROOT / "docs" / "bulk.md")
        if block.language == "python" and re.search(rf"^(import|from) {library}\b", block.text, re.MULTILINE)
    ]
    for number, name in enumerate(("target.png", "a.png", "b.jpg")):
        (tmp_path / name).write_bytes(encode(picture(number, 128)))
    variables = environment(
        RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0", HF_HOME=str(tmp_path / "home"), HF_HUB_OFFLINE="1"
    )
    done = subprocess.run(
        [sys.executable, "-c", recipe.text], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [float(one) for one in done.stdout.strip().splitlines()[-1].strip("[]").split(",")]
    metric = Metric(load_weights("balanced"), engine)
    expected = [metric.distance(picture(0, 128), picture(number, 128)).value for number in (1, 2)]
    assert found == pytest.approx(expected, rel=1e-5)
