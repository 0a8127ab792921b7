"""What profiles cost: a batch that mixes a thousand of them, and a database that holds a hundred thousand.

    python -m loadtest.bench_profiles

Both halves of each comparison alternate in one process, over several rounds; the table has medians and the spread of
the ratio. Bias, named: weighing is timed together with the distances of a batch on the CPU's exact engine, which is
what a request waits for; a service also decodes, which would make the share of profiles smaller.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numpy as np
from sqlalchemy import insert

from models.backbone import TOTAL_CHANNELS
from models.distance import weigh
from models.engines import open_engine
from models.weights import load_weights
from service.profiles import Registry
from service.scoring import Profiles
from service.storage.database import Database
from service.storage.profiles import Limits, NewVersion, ProfileStore
from service.storage.tables import Profile, Tenant, Version
from service.telemetry import Telemetry

ROUNDS = 7
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
    own = [base * rng.gamma(1, 1, TOTAL_CHANNELS).astype(np.float32) for _ in range(PAIRS)]
    # As in the service: each pair is weighed by itself, with the weights that its request holds.
    targets, candidates = rng.integers(0, IMAGES, (2, PAIRS))

    def batch(weights: list[np.ndarray[tuple[int], np.dtype[np.float32]]]) -> None:
        features = [one for start in range(0, IMAGES, 8) for one in engine.embed(images[start : start + 8])]
        z = engine.compare([features[index] for index in targets], [features[index] for index in candidates])
        for row, mine in zip(z, weights, strict=True):
            weigh(row[np.newaxis], mine)

    same = [base] * PAIRS
    seconds = _alternate(lambda: batch(same), lambda: batch(own))
    engine.close()
    _print(f"a batch of {PAIRS:,} pairs", "one profile", f"{PAIRS:,} profiles", *seconds)


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
    store = ProfileStore(database, Limits(10 * STORED, 1))
    await store.create("t", "first", "lpips", "b", NewVersion(weights, "created", 256, {}))
    ids = [uuid4() for _ in range(count)]
    state = dict.fromkeys(("base_version", "current_version", "latest_version"), 1)
    state |= dict.fromkeys(("latest_ranking", "forgotten_ranking", "fitted_ranking", "epoch"), 0)
    fixed = {"tenant": "t", "parent": "lpips", "backbone": "b", **state}
    version = {"number": 1, "origin": "created", "taken": True, "seen_ranking": 0, "resolution": 256, "report": {}}
    for start in range(0, count, 5000):
        part = list(enumerate(ids))[start : start + 5000]
        async with database.write() as session:
            await session.execute(insert(Profile), [{"id": own, "name": f"p{number}", **fixed} for number, own in part])
            content = weights.tobytes()
            await session.execute(
                insert(Version), [{"profile_id": own, "weights": content, **version} for _, own in part]
            )
    async with database.write() as session:
        (await session.get_one(Tenant, "t")).profiles = count + 1
    shipped = Profiles.shipped(load_weights("lpips").backbone)
    return Registry(shipped, store, "b", 3600, 1000, Telemetry())


def _alternate(first: Callable[[], None], second: Callable[[], None]) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    first()
    for _ in range(ROUNDS):
        for work, seconds in zip((first, second), times, strict=True):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
    return times


def _print(what: str, one: str, other: str, first: list[float], second: list[float]) -> None:
    ratios = [b / a for a, b in zip(first, second, strict=True)]
    print(
        f"{what}: {one} {1e3 * statistics.median(first):.3f} ms, {other} {1e3 * statistics.median(second):.3f} ms, "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
