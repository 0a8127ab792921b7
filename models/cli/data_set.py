"""Data set of a command: a ranking file, read and measured, with a bar on standard error while it takes."""

import hashlib
import importlib.util
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from clpips import __version__
from clpips.models.cli.output import Stopwatch
from clpips.models.engines.contract import EngineError, EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.installing import install_hint
from clpips.models.metric.content import CONTENT_FINGERPRINT
from clpips.models.metric.families import CONTENT, families_of
from clpips.models.metric.weights import LayerWeights
from clpips.models.rankings.files import Ranking, RankingsError, read_rankings
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.measuring import measure_rankings


def read_data_set(
    path: Path,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    fingerprint: str,
    cache: Path,
    watch: Stopwatch,
    check: Callable[[Sequence[Ranking]], object] | None = None,
) -> MeasuredRankings:
    """The file's rankings with their channel distances. Raises `RankingsError`, or `OSError` for the file itself.

    `check` is called before anything is computed, and raises what it finds wrong with the rankings.
    """
    rankings = read_rankings(path)
    if check:
        check(rankings)
    with watch.part("channel distances") as progress:
        return measure_rankings(
            rankings, lambda: open_engine(engine, backbone=backbone), resolution, fingerprint, cache, progress
        )


def require_known(rankings: Sequence[Ranking], weights: LayerWeights) -> None:
    """Raise `RankingsError` where no ranking knows all that counts for these weights: figures would be of others."""
    if not any(weights.networks <= ranking.networks for ranking in rankings):
        unknown = sorted(weights.families - families_of(rankings[0].networks))
        raise RankingsError(
            f"the file says nothing of {', '.join(unknown)}, which count for {weights.name!r}: its channel distances "
            "come from a service without the content network, or were made when the images were gone; judge weights "
            "without them, such as lpips",
            [],
        )


def require_matplotlib(path: Path | None, option: str = "--report") -> None:
    """Raise `EngineError`, before anything is computed, where an option asks for plots that cannot be drawn."""
    if path and not importlib.util.find_spec("matplotlib"):
        raise EngineError(f"{option} needs matplotlib: {install_hint('report')}; or leave it out")


def made(path: Path, fingerprint: str, weights: Mapping[str, LayerWeights], **options: object) -> dict[str, str]:
    """How figures came about, for whoever has to repeat them: version, command, options, and hashes of what went in."""
    hashes = {
        f"weights {side}": f"{one.name}, sha256 of the values {hashlib.sha256(one.values.tobytes()).hexdigest()[:16]}"
        for side, one in weights.items()
    }
    content = any(CONTENT in one.networks for one in weights.values())
    return {
        "clpips": __version__,
        "command": shlex.join(["clpips", *sys.argv[1:]]),
        **{name: str(value) for name, value in options.items()},
        "rankings": f"{path.name}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}",
        "backbone": f"sha256 {fingerprint[:16]}",
        **({"content network": f"sha256 {CONTENT_FINGERPRINT[:16]}"} if content else {}),
        **hashes,
    }
