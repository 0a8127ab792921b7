"""Data set of a command: a ranking file, read and measured, with a bar on standard error while it takes."""

import importlib.util
from pathlib import Path

from clpips.models.cli.output import progress_bar
from clpips.models.engines.contract import EngineError, EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.installing import install_hint
from clpips.models.rankings.files import read_rankings
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.measuring import measure_rankings


def read_data_set(
    path: Path, resolution: int | None, engine: EngineName, backbone: Path | None, fingerprint: str, cache: Path
) -> MeasuredRankings:
    """The file's rankings with their channel distances. Raises `RankingsError`, or `OSError` for the file itself."""
    rankings = read_rankings(path)
    with progress_bar("channel distances") as progress:
        return measure_rankings(
            rankings, lambda: open_engine(engine, backbone=backbone), resolution, fingerprint, cache, progress
        )


def require_matplotlib(report: Path | None) -> None:
    """Raise `EngineError`, before anything is computed, where a report is asked for that cannot be drawn."""
    if report and not importlib.util.find_spec("matplotlib"):
        raise EngineError(f"the report needs matplotlib: {install_hint('report')}; or leave --report out")
