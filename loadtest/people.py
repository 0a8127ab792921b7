"""How well fits carry over to images that nobody has seen: real people's judgments, a part of the images kept apart.

    python -m loadtest.people DATA [--families aligned mean std] [--errors 0 0.5 1 1.64] [--splits 2] [--first 0]

DATA is a folder of ranking files. People who ranked images (`ranks`) are learned from one by one, as the service does:
of some rankings of ten among the learning images, judged by all that they said of the others, where neither target nor
candidate has been seen. Votes are learned from together, as `clpips fit` does, and judged on targets kept apart, and on
whole images kept apart. All that is chosen, strengths and the guard, is chosen on learning images alone.

Printed are the lead over LPIPS in points, the share of people who end more than one point below it, and the same behind
the guard at several numbers of standard errors: a fit that it does not take leaves the parent's answer.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.opening import open_engine
from clpips.models.fitting.convex.fit import fit_convex
from clpips.models.fitting.convex.guard import Validation
from clpips.models.fitting.convex.members import PERSONAL, VOTES
from clpips.models.fitting.convex.voted_pairs import NoFitError
from clpips.models.metric.backbone import DEFAULT_RESOLUTION, SHIPPED_FINGERPRINT
from clpips.models.metric.families import PLACES
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.distance_cache import default_folder
from clpips.models.rankings.files import read_rankings
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.measuring import measure_rankings
from clpips.models.rankings.pairs import RankedPairs, expand_ranks, join_pairs, pairs_of_ranking
from clpips.models.rankings.splitting import SplitBy

LEARNED: Final = 0.6  # of the images, where people ranked them; of the targets or images, where they voted, 0.7
LEARNED_VOTES: Final = 0.7
CANDIDATES: Final = 10
HARMED: Final = -0.01  # lead over LPIPS below which somebody is worse off
ERRORS: Final = (0.0, 0.5, 1.0, 1.64)
SIZES: Final = (50, 200, 1000, None)  # votes that are learned from; None: all


@dataclass(frozen=True, eq=False)
class Opinion:
    """One person's order of the candidates of one target; images and rows are numbers, `(k,)` each."""

    target: int
    candidates: NDArray[np.intp]
    rows: NDArray[np.intp]
    ranks: NDArray[np.float64]

    def among(self, images: NDArray[np.intp]) -> "Opinion":
        """The same, of those candidates that are among some images."""
        kept = np.isin(self.candidates, images)
        return Opinion(self.target, self.candidates[kept], self.rows[kept], self.ranks[kept])

    def take(self, places: NDArray[np.intp]) -> "Opinion":
        """The same, of some of its candidates."""
        return Opinion(self.target, self.candidates[places], self.rows[places], self.ranks[places])


@dataclass(frozen=True)
class Trial:
    """One fit to one person's rankings: shares of judged pairs, and what the guard had to go by."""

    fit: float
    parent: float
    lpips: float
    validation: Validation | None  # None: there was no fit
    seconds: float

    def lead(self, errors: float | None = None) -> float:
        """Over LPIPS, of the fit, or of what is answered behind a guard of so many standard errors."""
        return (self.fit if errors is None or self.taken(errors) else self.parent) - self.lpips

    def taken(self, errors: float) -> bool:
        """Whether such a guard takes the fit."""
        return self.validation is not None and self.validation.ahead(errors)


def opinions_of(measured: MeasuredRankings) -> dict[str, list[Opinion]]:
    """What each rater said, by name. Raises `ValueError` for candidates whose images are not known."""
    people: dict[str, list[Opinion]] = {}
    for place, ranking in enumerate(measured.rankings):
        candidates = measured.candidates_of[place]
        if candidates is None:
            raise ValueError("a ranking names no candidates: their images cannot be kept apart")
        said = Opinion(int(measured.targets[place]), candidates, measured.rows_of[place], ranking.order)
        people.setdefault(ranking.rater, []).append(said)
    return people


def draw(
    said: Sequence[Opinion], images: NDArray[np.intp], rankings: int, rng: np.random.Generator
) -> list[Opinion] | None:
    """So many rankings of ten among some images, each of another target; None where the person said too little."""
    own = [opinion.among(images) for opinion in said if opinion.target in images]
    own = [opinion for opinion in own if len(opinion.ranks) >= CANDIDATES]
    if len(own) < rankings:
        return None
    drawn = [own[place] for place in rng.permutation(len(own))[:rankings]]
    return [opinion.take(rng.permutation(len(opinion.ranks))[:CANDIDATES]) for opinion in drawn]


def as_pairs(opinions: Sequence[Opinion], rows: NDArray[np.float32]) -> RankedPairs:
    """Opinions as the pairs that a fit learns from."""
    return join_pairs(
        [pairs_of_ranking(rows[said.rows], said.ranks, said.target, said.candidates.tolist()) for said in opinions]
    )


def judge(opinions: Sequence[Opinion], distances: NDArray[np.floating[Any]]) -> float:
    """Share of the pairs of some opinions that distances, of all rows, order alike; of equal ones half."""
    right, count = 0.0, 0
    for said in opinions:
        better, worse = expand_ranks(said.ranks)
        gaps = distances[said.rows[worse]] - distances[said.rows[better]]
        right += float(np.sum(gaps > 0) + 0.5 * np.sum(gaps == 0))
        count += len(gaps)
    return right / count if count else float("nan")


def try_person(
    said: Sequence[Opinion], rows: NDArray[np.float32], rankings: int, split: int, person: int
) -> Trial | None:
    """One fit of one person; None where the person said too little for it."""
    images = np.unique(np.concatenate([[opinion.target, *opinion.candidates] for opinion in said]))
    order = np.random.default_rng(1000 + split).permutation(images)
    learning, judging = np.split(order, [round(LEARNED * len(order))])
    lesson = draw(said, learning, rankings, np.random.default_rng([person, split, rankings]))
    if lesson is None:
        return None
    exam = [opinion.among(judging) for opinion in said if opinion.target in judging]
    parent, lpips = load_weights("balanced").values, load_weights("lpips").values
    began = time.perf_counter()
    try:
        fit = fit_convex(as_pairs(lesson, rows), parent, PERSONAL)
        weights, validation = fit.weights, fit.validation
    except NoFitError:
        weights, validation = parent, None
    seconds = time.perf_counter() - began
    marks = [judge(exam, (rows @ one).astype(np.float64)) for one in (weights, parent, lpips)]
    return Trial(marks[0], marks[1], marks[2], validation, seconds)


def row_of(rankings: int, trials: Sequence[Trial], errors: Sequence[float]) -> str:
    """One line of the table: the fit, the parent, and what is answered behind each guard."""
    cells = [_cell([trial.lead() for trial in trials])]
    cells.append(_cell([trial.parent - trial.lpips for trial in trials]))
    for each in errors:
        taken = np.mean([trial.taken(each) for trial in trials])
        cells.append(f"{_cell([trial.lead(each) for trial in trials])} {taken:>4.0%}")
    units = {trial.validation.unit for trial in trials if trial.validation}
    milliseconds = 1000 * np.median([trial.seconds for trial in trials])
    return f"{rankings:>8}  {'  '.join(cells)}  {milliseconds:>5.0f} ms  {' or '.join(sorted(units)) or 'no fit'}"


def _cell(leads: Sequence[float]) -> str:
    return f"{100 * np.mean(leads):>+6.2f} {np.mean(np.array(leads) < HARMED):>4.0%}"


def report_people(measured: MeasuredRankings, options: argparse.Namespace) -> None:
    """Print the table of people who ranked."""
    people = opinions_of(measured)
    splits = range(options.first, options.first + options.splits)
    print(
        f"{len(people)} people, splits {splits.start} to {splits.stop - 1}, {LEARNED:.0%} of the images to learn from"
    )
    print("points of pairs over LPIPS on images not seen, people more than a point below it, fits that the guard takes")
    print("rankings  fit          parent       " + "  ".join(f"guard {each:<10g}" for each in options.errors))
    for rankings in options.rankings:
        trials = []
        for number, (name, said) in enumerate(people.items()):
            for split in splits:
                trial = try_person(said, measured.rows, rankings, split, number)
                if trial is None:
                    print(f"left out: {name or 'nobody'}, split {split}: too few opinions for {rankings} rankings")
                else:
                    trials.append(trial)
        if trials:
            print(row_of(rankings, trials, options.errors), flush=True)


def report_votes(measured: MeasuredRankings, options: argparse.Namespace) -> None:
    """Print the table of votes, on targets and on whole images kept apart."""
    lpips = load_weights("lpips").values
    print(f"{len(measured.rankings):,} rankings with votes, {LEARNED_VOTES:.0%} to learn from; points over LPIPS")
    print("on                 learned from  median  each of the splits")
    units: tuple[SplitBy, ...] = ("target", "image")
    for by in units:
        splits = [measured.split(LEARNED_VOTES, seed, by) for seed in range(options.seeds)]
        for size in SIZES:
            leads = []
            for seed, split in enumerate(splits):
                drawn = np.random.default_rng(seed).permutation(len(split.fit))[:size]
                pairs = measured.take([split.fit[place] for place in drawn]).pairs()
                weights = fit_convex(pairs, None, VOTES).weights
                exam = measured.take(split.held_out).pairs()
                leads.append(100 * (exam.agreement(weights) - exam.agreement(lpips)))
            each = " ".join(f"{lead:+.1f}" for lead in leads)
            print(f"{splits[0].words:<17}  {size or 'all':>12}  {np.median(leads):>+6.2f}  {each}", flush=True)


def read(folder: Path, families: Sequence[str]) -> MeasuredRankings:
    """The folder's rankings with their channel distances; families that are not named count for nothing."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise SystemExit(f"{folder} holds no ranking file (*.jsonl)")
    rankings = [ranking for file in files for ranking in read_rankings(file)]
    measured = measure_rankings(
        rankings, lambda: open_engine("onnx"), DEFAULT_RESOLUTION, SHIPPED_FINGERPRINT, default_folder()
    )
    for name, place in PLACES.items():
        if name not in families:
            measured.rows[:, place] = 0
    return measured


def main() -> None:
    """Read, fit, judge, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--families", nargs="+", choices=list(PLACES), default=list(PLACES))
    parser.add_argument("--errors", nargs="+", type=float, default=list(ERRORS))
    parser.add_argument("--rankings", nargs="+", type=int, default=[3, 10, 30])
    parser.add_argument("--splits", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="the first split")
    parser.add_argument("--seeds", type=int, default=5, help="splits of votes")
    options = parser.parse_args()
    measured = read(options.data, options.families)
    voted = [ranking for ranking in measured.rankings if ranking.votes is not None]
    ranked = [ranking for ranking in measured.rankings if ranking.votes is None]
    print(f"{options.data.name}: {' '.join(sys.argv[1:])}")
    if ranked:
        report_people(measured.take(ranked), options)
    if voted:
        report_votes(measured.take(voted), options)


if __name__ == "__main__":
    main()
