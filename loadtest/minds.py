"""Simulated people who judge by how pictures look alone, or by what they are of alone: how soon is that learned?

    python -m loadtest.minds DATA [--people 24] [--noise 0.05 0.3] [--rankings 1 3 10] [--nothing]
        [--parent balanced]

DATA is a folder of ranking files; only their pictures count. Each person weighs a tenth of the channels, drawn anew, of
the families of one network, and ranks ten pictures at a time with Gumbel noise on the logarithm of the distance. A part
of the images is kept apart, as in `loadtest.people`. Printed are shares of pairs ordered as the person would without
noise: by LPIPS, by `balanced`, by a fit of all families, and by the same fit that was told which families count.

With `--nothing` the people are those of whom there is nothing to learn: half rank at random, half judge as their
profile's parent does, with noise. Printed is how many of the fits to their rankings the guard takes, each of which is a
mistake.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.convex.fit import fit_convex
from clpips.models.fitting.convex.members import LOOKS, PERSONAL, WHAT
from clpips.models.fitting.convex.voted_pairs import NoFitError
from clpips.models.metric.families import PLACES, Z_LENGTH, Families
from clpips.models.metric.weights_files import load_weights
from loadtest.people import LEARNED, Opinion, as_pairs, draw, judge, opinions_of, read

MINDS: Final = {"looks": LOOKS, "content": WHAT}
SHARE: Final = 0.1  # of the channels, that somebody looks at
LEAST: Final = 1e-9  # a distance, before its logarithm is taken

Vector = NDArray[np.float64]


def weights_of(families: Families, rng: np.random.Generator) -> Vector:
    """Weights, `(6016,)`, of somebody who looks at a tenth of some families' channels, some more than others."""
    balanced, weights = load_weights("balanced").values, np.zeros(Z_LENGTH)
    for name in sorted(families):
        count = len(weights[PLACES[name]])
        looked_at = (rng.random(count) < SHARE) * rng.gamma(1, 1, count) * rng.uniform(0.2, 1)
        weights[PLACES[name]] = balanced[PLACES[name]] * looked_at
    return weights


def only(values: NDArray[np.float32], families: Families) -> NDArray[np.float32]:
    """Weights or rows, `(…, 6016)`, without the other families."""
    kept = np.zeros_like(values)
    for name in families:
        kept[..., PLACES[name]] = values[..., PLACES[name]]
    return kept


def says(shown: Sequence[Opinion], distances: Vector, noise: float, rng: np.random.Generator) -> list[Opinion]:
    """What somebody says of the same pictures whose own distances, of all rows, are these."""
    felt = np.log(np.maximum(distances, LEAST)) + noise * rng.gumbel(size=len(distances))  # (r,)
    return [
        Opinion(each.target, each.candidates, each.rows, np.argsort(np.argsort(felt[each.rows])).astype(np.float64) + 1)
        for each in shown
    ]


def try_mind(
    shown: Sequence[Opinion], rows: NDArray[np.float32], families: Families, noise: float, rankings: int, number: int
) -> list[float]:
    """Shares of judged pairs: LPIPS, `balanced`, the fit, the one that was told; then 1 where the guard takes it."""
    rng = np.random.default_rng(number)
    distances = rows @ weights_of(families, rng)  # (r,)
    order = rng.permutation(np.unique([each.target for each in shown]))
    learning, judging = np.split(order, [round(LEARNED * len(order))])
    lesson = draw(says(shown, distances, noise, rng), learning, rankings, rng)
    if lesson is None:
        raise SystemExit(f"these pictures are too few for {rankings} rankings")
    exam = [each.among(judging) for each in says(shown, distances, 0, rng) if each.target in judging]
    balanced = load_weights("balanced").values
    marks = [judge(exam, rows @ weights) for weights in (load_weights("lpips").values, balanced)]
    fit, taken = _fit(lesson, rows, balanced)
    told, _ = _fit(lesson, only(rows, families), only(balanced, families))
    return [*marks, judge(exam, rows @ fit), judge(exam, only(rows, families) @ told), float(taken)]


def try_nothing(
    shown: Sequence[Opinion],
    rows: NDArray[np.float32],
    parent: NDArray[np.float32],
    noise: float,
    rankings: int,
    number: int,
) -> tuple[bool, bool]:
    """Whether the guard takes a fit to somebody who ranks at random, and to somebody who judges as the parent does."""
    rng = np.random.default_rng(number)
    order = rng.permutation(np.unique([each.target for each in shown]))
    learning = order[: round(LEARNED * len(order))]
    nobody = [
        Opinion(each.target, each.candidates, each.rows, 1 + rng.permutation(len(each.ranks)).astype(np.float64))
        for each in shown
    ]
    alike = says(shown, (rows @ parent).astype(np.float64), noise, rng)
    taken = []
    for said in (nobody, alike):
        lesson = draw(said, learning, rankings, rng)
        if lesson is None:
            raise SystemExit(f"these pictures are too few for {rankings} rankings")
        taken.append(_fit(lesson, rows, parent)[1])
    return taken[0], taken[1]


def _fit(
    lesson: Sequence[Opinion], rows: NDArray[np.float32], parent: NDArray[np.float32]
) -> tuple[NDArray[np.float32], bool]:
    """Fitted weights, or the parent's where there is no fit; and whether the guard takes them."""
    try:
        fit = fit_convex(as_pairs(lesson, rows), parent, PERSONAL)
    except NoFitError:
        return parent, False
    return fit.weights, fit.validation.taken


def main() -> None:
    """Simulate, fit, judge, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.05, 0.3])
    parser.add_argument("--rankings", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--nothing", action="store_true", help="people of whom there is nothing to learn")
    parser.add_argument("--parent", default="balanced", help="what the profiles of these begin with")
    options = parser.parse_args()
    measured = read(options.data, list(PLACES))
    shown = next(iter(opinions_of(measured).values()))
    if options.nothing:
        report_nothing(shown, measured.rows, options)
    else:
        report_minds(shown, measured.rows, options)


def report_nothing(shown: Sequence[Opinion], rows: NDArray[np.float32], options: argparse.Namespace) -> None:
    """Print how many fits the guard takes of people of whom there is nothing to learn."""
    print(f"{options.people} people each, {LEARNED:.0%} of the images to learn from; fits that the guard takes")
    parent = load_weights(options.parent).values
    print("noise  rankings  of who ranks at random  of who judges as the parent does")
    for noise in options.noise:
        for rankings in options.rankings:
            tried = [try_nothing(shown, rows, parent, noise, rankings, number) for number in range(options.people)]
            random, alike = np.mean(tried, axis=0)
            print(f"{noise:>5g}  {rankings:>8}  {random:>22.0%}  {alike:>32.0%}", flush=True)


def report_minds(shown: Sequence[Opinion], rows: NDArray[np.float32], options: argparse.Namespace) -> None:
    """Print what is learned of people who judge by one network's families alone."""
    print(f"{options.people} people each, {LEARNED:.0%} of the images to learn from; pairs ordered as the person does")
    print("judges by  noise  rankings  LPIPS  balanced   fit  told   behind (± se)  of told  guard takes")
    for mind, families in MINDS.items():
        for noise in options.noise:
            for rankings in options.rankings:
                tried = [try_mind(shown, rows, families, noise, rankings, n) for n in range(options.people)]
                lpips, balanced, fit, told, taken = np.mean(tried, axis=0)
                behind = np.array([100 * (trial[2] - trial[3]) for trial in tried])
                error = behind.std(ddof=1) / np.sqrt(len(behind)) if len(behind) > 1 else float("nan")
                print(
                    f"{mind:<9}  {noise:>5g}  {rankings:>8}  {lpips:>5.1%}  {balanced:>8.1%}  {fit:.1%}  {told:.1%}  "
                    f"{behind.mean():>+6.2f} ± {error:.2f}  {fit / told:>7.1%}  {taken:>11.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
