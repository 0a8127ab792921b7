"""Group commit: what waits at the same time shares a transaction, and nobody's outcome depends on the others."""

import asyncio
from collections.abc import Sequence

import pytest

from clpips.service.storage.errors import DatabaseAwayError, SessionMissingError, StorageError
from clpips.service.storage.group_commit import MOST_TOGETHER, GroupCommit


class Disk:
    """Writes numbers, when it is told to; negative ones it refuses, and with them all of their transaction."""

    def __init__(self) -> None:
        self.transactions: list[list[int]] = []
        self.kept: list[int] = []
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.error: StorageError = StorageError("refused")

    async def commit(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.transactions.append(list(items))
        self.asked.set()
        await self.answers.wait()
        if min(items) < 0:
            raise self.error
        self.kept += items
        return [SessionMissingError("gone") if item == 404 else 10 * item for item in items]


async def started(disk: Disk, writes: Sequence[int], group: GroupCommit[int, int]) -> list[asyncio.Task[int]]:
    """Tasks that write these, of which the first is in a transaction and the others wait."""
    tasks = []
    for item in writes:
        tasks.append(asyncio.create_task(group.add(item)))
        await disk.asked.wait()
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_shares_the_next_transaction() -> None:
    disk = Disk()
    tasks = await started(disk, [1, 2, 3, 4], GroupCommit(disk.commit))
    disk.answers.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
    assert disk.transactions == [[1], [2, 3, 4]]


async def test_a_transaction_has_a_bound() -> None:
    disk = Disk()
    tasks = await started(disk, range(1, 3 + 2 * MOST_TOGETHER), GroupCommit(disk.commit))
    disk.answers.set()
    await asyncio.gather(*tasks)
    assert [len(one) for one in disk.transactions] == [1, MOST_TOGETHER, MOST_TOGETHER, 1]


async def test_an_error_is_its_own_items_alone() -> None:
    disk = Disk()
    tasks = await started(disk, [1, 2, 404, 3], GroupCommit(disk.commit))
    disk.answers.set()
    first, second, missing, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, second, third) == (10, 20, 30)
    assert isinstance(missing, SessionMissingError)


async def test_one_that_the_database_refuses_takes_no_other_with_it() -> None:
    disk = Disk()
    tasks = await started(disk, [1, 2, -1, 3], GroupCommit(disk.commit))
    disk.answers.set()
    first, second, refused, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, second, third) == (10, 20, 30)
    assert isinstance(refused, StorageError)
    assert disk.kept == [1, 2, 3]


async def test_while_the_database_is_away_nothing_is_tried_again() -> None:
    disk = Disk()
    disk.error = DatabaseAwayError("unplugged")
    tasks = await started(disk, [1, -1, 2, 3], GroupCommit(disk.commit))
    disk.answers.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes[0] == 10
    assert all(isinstance(one, DatabaseAwayError) for one in outcomes[1:])
    assert disk.transactions == [[1], [-1, 2, 3]]


async def test_what_nobody_waits_for_is_not_written() -> None:
    disk = Disk()
    tasks = await started(disk, [1, 2, 3], GroupCommit(disk.commit))
    tasks[1].cancel()
    disk.answers.set()
    assert await tasks[0] == 10
    assert await tasks[2] == 30
    assert disk.kept == [1, 3]


async def test_a_transaction_ends_with_the_last_that_waits_for_it_and_the_next_goes_on() -> None:
    disk = Disk()
    tasks = await started(disk, [1, 2], GroupCommit(disk.commit))
    tasks[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    disk.answers.set()
    assert await tasks[1] == 20
    assert disk.kept == [2]


async def test_a_transaction_goes_on_for_those_that_still_wait() -> None:
    disk = Disk()
    group = GroupCommit(disk.commit)
    tasks = [asyncio.create_task(group.add(item)) for item in (1, 2)]
    await disk.asked.wait()
    assert disk.transactions == [[1, 2]]
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    disk.answers.set()
    assert await tasks[1] == 20
