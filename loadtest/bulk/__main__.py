"""Bulk scoring against its bars, side by side with the `lpips` package.

    python -m loadtest.bulk [--only shared,distinct,memory,planning,ray] [--scale 1.0] [--sample 480] [--folder DIR]

`shared`: 20,000 pairs over 2,000 distinct 512² PNG, each in 20 pairs; `distinct`: 2,000 pairs of 4,000 images. Both by
`clpips score`, and before and after it the package on the first `--sample` pairs, whose pace does not depend on how
many there are; what is compared is pairs a second from the first file to the last distance, start-up of either left
out. `memory`: the peak of all processes for 10,000 and 100,000 pairs over 1,000 and 10,000 images. `planning`: a
million pairs whose images are never read. `ray`: two workers on a Ray of this machine against two processes without.

`--scale` makes all tables smaller. The bias of the figures: the package decodes an image once for each pair that it
stands in, as the loops of its users do, and its DataLoader shares the cores with its convolutions, as ours does.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from loadtest.bulk.data import each_in, in_groups, write_images, write_pairs
from loadtest.bulk.runs import Run, reference, score

BATCH, LOADERS = 16, 2
GIB = 2**30


class Bench:
    """The tables of one run, and what is printed of them."""

    def __init__(self, folder: Path, scale: float, sample: int) -> None:
        self._folder = folder
        self._scale = scale
        self._sample = sample

    def shared(self) -> None:
        images = write_images(self._folder / "shared", self._count(2000), 512)
        table = write_pairs(self._folder / "shared.parquet", *each_in(images, 20))
        run = self._beside_lpips("20,000 pairs over 2,000 images", table, bar=8)
        embedded = run.printed["images_embedded"] / run.printed["distinct_images"]
        say("images embedded / distinct images", f"{embedded:.2f}", "1.00", embedded == 1)

    def distinct(self) -> None:
        images = write_images(self._folder / "distinct", self._count(4000), 512)
        table = write_pairs(self._folder / "distinct.parquet", images[0::2], images[1::2])
        self._beside_lpips("2,000 pairs of 4,000 images", table, bar=2)

    def memory(self) -> None:
        peaks = []
        for count in (self._count(1000), self._count(10_000)):
            images = write_images(self._folder / f"memory-{count}", count, 256)
            table = write_pairs(self._folder / f"memory-{count}.parquet", *in_groups(images, 20, 200))
            peaks.append(score(table, self._out()).peak_bytes)
        ratio = peaks[1] / peaks[0]
        shown = f"{ratio:.2f} ({peaks[0] / GIB:.2f} and {peaks[1] / GIB:.2f} GiB)"
        say("peak memory, ten times the pairs", shown, "≤ 1.1", ratio <= 1.1)

    def planning(self) -> None:
        count = self._count(1_000_000)
        names = [f"images/{number:09}.png" for number in range(count // 10)]
        tables = {
            "at random": each_in(names, 20),
            "in groups": in_groups(names, 11, 110),
            "one target": ([names[0]] * count, [f"candidates/{number:09}.png" for number in range(count)]),
        }
        for title, (targets, candidates) in tables.items():
            table = write_pairs(self._folder / "plan.parquet", targets, candidates)
            run = score(table, self._out(), "--plan-only", "--dedupe", "name")
            good = run.seconds <= 60 and run.peak_bytes <= 2 * GIB
            shown = f"{run.seconds:.1f} s, {run.peak_bytes / GIB:.2f} GiB, start-up included"
            say(f"{count:,} pairs planned, {title}", shown, "≤ 60 s, ≤ 2 GiB", good)

    def ray(self) -> None:
        images = write_images(self._folder / "ray", self._count(1600), 512)
        table = write_pairs(self._folder / "ray.parquet", images[0::2], images[1::2])
        ray = str(Path(sys.executable).parent / "ray")
        start = [ray, "start", "--head", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
        subprocess.run(start, check=True, capture_output=True, env=without_niceness())
        try:
            plain, on_ray = [], []
            for _ in range(2):
                plain.append(pace(score(table, self._out(), "--engine-workers", "2")))
                on_ray.append(
                    pace(score(table, self._out(), "--engine-workers", "2", "--worker-cpus", "1", "--ray", "auto"))
                )
        finally:
            subprocess.run([ray, "stop"], check=False, capture_output=True)
        ratio = sum(on_ray) / sum(plain)
        shown = f"{ratio:.2f} ({sum(on_ray) / 2:.1f} and {sum(plain) / 2:.1f} pairs/s)"
        say("Ray with two workers / two processes", shown, "≥ 0.9", ratio >= 0.9)

    def _beside_lpips(self, title: str, table: Path, bar: float) -> Run:
        """Our pace and the package's on one table, the package's before and after ours."""
        before = reference(table, self._sample, BATCH, LOADERS)
        run = score(table, self._out())
        after = reference(table, self._sample, BATCH, LOADERS)
        theirs = sum(each.printed["pairs"] for each in (before, after)) / sum(
            each.printed["seconds"] for each in (before, after)
        )
        ratio = pace(run) / theirs
        shown = f"× {ratio:.1f} ({pace(run):.1f} and {theirs:.1f} pairs/s; ours took {run.printed['seconds']:.0f} s)"
        say(f"{title} / lpips", shown, f"≥ × {bar}", ratio >= bar)
        return run

    def _count(self, whole: int) -> int:
        return max(40, int(whole * self._scale) // 40 * 40)

    def _out(self) -> Path:
        """A fresh folder for a table; the one before goes."""
        shutil.rmtree(self._folder / "out", ignore_errors=True)
        return self._folder / "out"


def pace(run: Run) -> float:
    """Pairs a second, from the start of planning to the last part."""
    return float(run.printed["pairs"] / run.printed["seconds"])


def without_niceness() -> dict[str, str]:
    """The environment in which Ray does not let its workers wait for everybody else."""
    return {**os.environ, "RAY_worker_niceness": "0"}


def say(what: str, found: str, bar: str, met: bool) -> None:
    print(f"{what:44} {found:60} {bar:18} {'met' if met else 'NOT MET'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="shared,distinct,memory,planning,ray")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--sample", type=int, default=480, help="pairs that the lpips package is timed on, twice")
    parser.add_argument("--folder", type=Path, help="where images and tables go (6 GB, and as much for features)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="clpips-bulk-", dir=arguments.folder) as folder:
        bench = Bench(Path(folder), arguments.scale, arguments.sample)
        steps: dict[str, Callable[[], None]] = {
            "shared": bench.shared,
            "distinct": bench.distinct,
            "memory": bench.memory,
            "planning": bench.planning,
            "ray": bench.ray,
        }
        for name in arguments.only.split(","):
            steps[name]()


if __name__ == "__main__":
    main()
