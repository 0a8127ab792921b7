"""What profiles cost: a batch that mixes a thousand of them, and a database that holds a hundred thousand.

    python -m loadtest.bench_profiles

Both halves of each comparison alternate in one process, over many rounds. Embedding and comparing do not know of
profiles, and vary by more than the weighing takes: so they are timed by themselves, and what a thousand profiles cost
is the difference of the weighing times, as a share of the whole batch. Bias, named: the batch runs on the CPU's exact
engine, without the decoding of a service, which would make the share smaller; on a GPU it would be larger. Before
each weighing some pairs are compared, so that weights lie where a batch leaves them and not in the nearest cache.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert

from clpips.models.engines.opening import open_engine
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.weights_files import load_weights
from clpips.service.ops.telemetry import Telemetry
from clpips.service.profiles.named_weights import ShippedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.storage.database import Database
from clpips.service.storage.profiles import UNTAUGHT, ProfileStore
from clpips.service.storage.records import NewVersion, TenantQuota
from clpips.service.storage.tables import ProfileRow, TenantRow, VersionRow

ROUNDS = 7
WEIGHINGS = 200
BETWEEN = 16  # pairs that are compared before each weighing: some 40 MB of features pass through the caches
PAIRS = 1000
IMAGES = 64  # whose pairs are compared: a batch of 1,000 pairs over as many images as a busy service has in hand
STORED = 100_000


def main() -> None:
    """Print both tables."""
    mixing()
    asyncio.run(storing())


def mixing() -> None:
    """1,000 pairs, each weighed with another profile's weights, against all with the same."""
    rng = np.random.default_rng(0)
    engine = open_engine("onnx", "cpu")
    images = rng.integers(0, 256, (IMAGES, 256, 256, 3), np.uint8)
    base = load_weights("lpips").values
    same = [base] * PAIRS
    own = [base * rng.gamma(1, 1, Z_LENGTH).astype(np.float32) for _ in range(PAIRS)]
    pairs = rng.integers(0, IMAGES, (2, PAIRS))
    batches: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        features = [one for first in range(0, IMAGES, 8) for one in engine.embed(images[first : first + 8])]
        targets, candidates = ([features[index] for index in side] for side in pairs)
        z = engine.compare(targets, candidates)
        batches.append(time.perf_counter() - start)

    def weighing(weights: list[NDArray[np.float32]]) -> float:
        place = int(rng.integers(PAIRS - BETWEEN))
        engine.compare(targets[place : place + BETWEEN], candidates[place : place + BETWEEN])
        start = time.perf_counter()
        # As in the service: each pair is weighed by itself, with the weights that its request holds.
        for row, mine in zip(z, weights, strict=True):
            weigh(row[np.newaxis], mine)
        return time.perf_counter() - start

    times = np.empty((WEIGHINGS, 2))
    for number in range(-2, WEIGHINGS):  # two first that do not count: their places are written again
        for half in (0, 1) if number % 2 else (1, 0):
            times[number, half] = weighing((same, own)[half])
    engine.close()
    whole = statistics.median(batches) + float(np.median(times[:, 0]))
    low, median, high = 100 * np.quantile(times[:, 1] - times[:, 0], [0.05, 0.5, 0.95]) / whole
    alike, apart = 1e3 * np.median(times, axis=0)
    print(f"a batch of {PAIRS:,} pairs over {IMAGES} images: {whole:.2f} s; weighing them takes {alike:.1f} ms")
    print(
        f"with {PAIRS:,} profiles in place of one {apart:.1f} ms: {median:+.2f} % of the batch "
        f"({low:+.2f} to {high:+.2f} in nine of ten of {WEIGHINGS} rounds)"
    )


async def storing() -> None:
    """Looking profiles up, cold and in memory, where there are ten and where there are a hundred thousand."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = [await _filled(Path(folder) / f"{count}.db", count) for count in (10, STORED)]
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for registry, seconds in zip((few, many), times, strict=True):
                start = time.perf_counter()
                for number in range(10):
                    registry.forget("t", f"p{number}")
                    await registry.resolve("t", f"p{number}")
                seconds.append((time.perf_counter() - start) / 10)
        _print("a profile read from the database", "of 10", f"of {STORED:,}", *times)
        for registry, seconds in zip((few, many), times, strict=True):
            seconds.clear()
            for _ in range(ROUNDS):
                start = time.perf_counter()
                for _ in range(1000):
                    await registry.resolve("t", "p0")
                seconds.append((time.perf_counter() - start) / 1000)
        _print("a profile held in memory", "of 10", f"of {STORED:,}", *times)


async def _filled(path: Path, count: int) -> Registry:
    database = Database(f"sqlite:///{path}")
    await database.migrate()
    weights = load_weights("lpips").values
    store = ProfileStore(database, TenantQuota(10 * STORED, 1))
    await store.create("t", "first", "lpips", "b", NewVersion(weights, "created", 256, {}))
    ids = [uuid4() for _ in range(count)]
    state = UNTAUGHT | dict.fromkeys(("base_version", "current_version", "latest_version"), 1)
    fixed = {"tenant": "t", "parent": "lpips", "backbone": "b", **state}
    version = {"number": 1, "origin": "created", "taken": True, "seen_ranking": 0, "resolution": 256, "report": {}}
    for start in range(0, count, 5000):
        part = list(enumerate(ids))[start : start + 5000]
        async with database.write() as session:
            await session.execute(
                insert(ProfileRow), [{"id": own, "name": f"p{number}", **fixed} for number, own in part]
            )
            content = weights.tobytes()
            await session.execute(
                insert(VersionRow), [{"profile_id": own, "weights": content, **version} for _, own in part]
            )
    async with database.write() as session:
        (await session.get_one(TenantRow, "t")).profiles = count + 1
    shipped = ShippedWeights.load(load_weights("lpips").backbone)
    return Registry(shipped, store, "b", 3600, 1000, Telemetry())


def _print(what: str, one: str, other: str, first: list[float], second: list[float]) -> None:
    ratios = [b / a for a, b in zip(first, second, strict=True)]
    print(
        f"{what}: {one} {1e3 * statistics.median(first):.3f} ms, {other} {1e3 * statistics.median(second):.3f} ms, "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
