"""Group commit: what is to be written while a transaction runs waits for it, and shares the next one.

A commit waits for the disk, however much it writes. So writes that have one each stand in a line as soon as they come
faster than the disk answers: of twenty at once the last waits for twenty commits, and here for two.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from clpips.service.storage.errors import DatabaseAwayError, StorageError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

MOST_TOGETHER: Final = 64  # items in a transaction: it holds the locks of them all until it ends


class GroupCommit(Generic[ItemT, ResultT]):
    """Has items written by `commit`, which makes one transaction of those that it is given.

    For each item it returns what its caller gets, or the error that its caller gets while the others are written all
    the same. Where it raises, none is written: each is then tried by itself, so that one that the database refuses
    takes no other with it. For one event loop.
    """

    def __init__(self, commit: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT | Exception]]]) -> None:
        self._commit = commit
        self._waiting: list[tuple[ItemT, asyncio.Future[ResultT]]] = []
        self._written: list[asyncio.Future[ResultT]] = []  # of the items whose transaction runs
        self._writer: asyncio.Task[None] | None = None

    async def add(self, item: ItemT) -> ResultT:
        """What comes of an item, once it is written. Raises what `commit` has raised, or returned for it.

        Where the call is cancelled, an item that waits is not written. One whose transaction runs may be; the
        transaction is cancelled with the last that waits for it.
        """
        outcome: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, outcome))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        try:
            return await outcome
        except asyncio.CancelledError:
            await self._leave(outcome)
            raise

    async def _leave(self, outcome: asyncio.Future[ResultT]) -> None:
        """Cancel the transaction that nobody waits for any more, if it was this one's, until its connection is free."""
        if self._writer is not None and outcome in self._written and all(one.done() for one in self._written):
            self._writer.cancel()
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        try:
            while group := self._next():
                self._written = [outcome for _, outcome in group]
                await self._write_together(group)
        finally:
            self._written = []
            self._writer = asyncio.create_task(self._write()) if self._waiting else None

    def _next(self) -> list[tuple[ItemT, asyncio.Future[ResultT]]]:
        """The items that are written next, without those for whom nobody waits any more."""
        alive = [(item, outcome) for item, outcome in self._waiting if not outcome.done()]
        self._waiting = alive[MOST_TOGETHER:]
        return alive[:MOST_TOGETHER]

    async def _write_together(self, group: Sequence[tuple[ItemT, asyncio.Future[ResultT]]]) -> None:
        try:
            results = await self._commit([item for item, _ in group])
        except StorageError as error:
            if len(group) > 1 and not isinstance(error, DatabaseAwayError):
                for alone in group:
                    if not alone[1].done():
                        await self._write_together([alone])
                return
            results = [error] * len(group)
        except Exception as error:  # noqa: BLE001  whatever it is, the waiters must get an answer
            results = [error] * len(group)
        for (_, outcome), result in zip(group, results, strict=True):
            if outcome.done():
                continue
            if isinstance(result, Exception):
                outcome.set_exception(result)
            else:
                outcome.set_result(result)
