"""Nothing acknowledged is lost: many write at once, and a process is killed in the middle of its work."""

import asyncio
import signal
import subprocess
import sys

import pytest

from clpips.models.metric.families import Z_LENGTH
from clpips.service.storage.database import Database
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import TenantQuota
from tests.support.databases import ranking
from tests.support.profile_stores import TENANT, made, numbers


async def test_many_writers_at_once_lose_nothing_and_share_no_number(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(3)]
    stores = [ProfileStore(database, TenantQuota(10, 1000)) for database in databases]
    await made(stores[0])
    results = await asyncio.gather(
        *(stores[seed % 3].add_ranking(TENANT, "ada", ranking(seed)) for seed in range(30)),
    )
    assert sorted(receipt.number for receipt in results) == list(range(1, 31))
    for database in databases:
        await database.close()


WRITER = """
import asyncio, sys
from clpips.service.storage.database import Database
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import TenantQuota
from tests.support.databases import ranking, version

async def main():
    store = ProfileStore(Database(sys.argv[1]), TenantQuota(10, 100000))
    for seed in range(100000):
        receipt = await store.add_ranking("studio", "ada", ranking(seed))
        await store.add_fitted(receipt.profile, version(receipt.number + 1), "so", taken=True, again=False)
        print(receipt.number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [1, 4, 11])
async def test_a_killed_process_loses_no_acknowledged_ranking_and_leaves_usable_weights(
    database_url: str, after: int
) -> None:
    database = Database(database_url)
    store = ProfileStore(database, TenantQuota(10, 100_000))
    await made(store)
    acknowledged = await asyncio.to_thread(_write_until_killed, database_url, after)
    profile = await store.find(TENANT, "ada")
    assert profile.latest_ranking >= acknowledged
    assert await numbers(store, profile) == list(range(1, profile.latest_ranking + 1))
    current = await store.version(profile.id, profile.current_version)
    assert current.weights.shape == (Z_LENGTH,)
    assert profile.current_version == profile.latest_version >= acknowledged
    await store.add_ranking(TENANT, "ada", ranking(comparison="after the crash"))
    await database.close()


def _write_until_killed(url: str, after: int) -> int:
    """Rankings that a process acknowledged until SIGKILL hit it in the middle of its work."""
    command = [sys.executable, "-c", WRITER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    return int(rest[-1]) if rest else after
