"""Files of rankings that `clpips fit` and `clpips evaluate` learn from and judge by, and a run of either."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clpips.models.cli.commands import main
from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from clpips.models.rankings.files import Ranking
from tests.support.observers import channel_distances, person
from tests.support.pictures import encode, picture, variation
from tests.support.rankings import write_rankings

TARGETS, CANDIDATES = 12, 4


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLPIPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Rankings by one person, with channel distances in place of images."""
    somebody, rng = person(1), np.random.default_rng(1)
    rankings = []
    for target in range(TARGETS):
        z = channel_distances(rng, 6).astype(np.float16)
        ranks = tuple(somebody.rank(z.astype(np.float32), rng).tolist())
        rankings.append(
            Ranking(f"t{target}", ranks=ranks, z=z, set=str(target), backbone=SHIPPED_FINGERPRINT, resolution=256)
        )
    return write_rankings(tmp_path / "stored.jsonl", rankings)


@pytest.fixture
def pictured(tmp_path: Path) -> Path:
    """Rankings of image files: the more of another picture a candidate holds, the less similar it is."""
    rankings = []
    for target in range(TARGETS):
        pixels = picture(target, 64)
        (tmp_path / f"{target}.png").write_bytes(encode(pixels))
        names = []
        for number in range(CANDIDATES):
            names.append(str(tmp_path / f"{target}-{number}.png"))
            content = encode(variation(pixels, 10 * target + number, 0.2 * (number + 1)))
            Path(names[-1]).write_bytes(content)
        ranks = tuple(float(rank) for rank in np.roll(range(1, CANDIDATES + 1), target % 3))
        rankings.append(Ranking(str(tmp_path / f"{target}.png"), tuple(names), ranks=ranks, set=f"set {target}"))
    return write_rankings(tmp_path / "pictured.jsonl", rankings)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert run(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)
