"""Round-robin queue: requests are served in turn, one item each, and only items of one shape come out together."""

import asyncio
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(eq=False, slots=True)
class Entry(Generic[ItemT, ResultT]):
    """An item that waits; `turn` names its request. Times are of the event loop's clock."""

    item: ItemT
    turn: Hashable
    shape: Hashable
    deadline: float
    arrived: float
    result: asyncio.Future[ResultT]


_Line = dict[Entry[ItemT, ResultT], None]  # a dict, for removal from anywhere at no cost; the oldest entry first
_Turn = dict[Hashable, _Line[ItemT, ResultT]]  # one request's entries by shape


class Turns(Generic[ItemT, ResultT]):
    """Round-robin queue of entries: a line for each request, and the requests in the order in which they are served."""

    def __init__(self) -> None:
        self._turns: dict[Hashable, _Turn[ItemT, ResultT]] = {}
        self._waiting = 0

    def __len__(self) -> int:
        """Items that wait."""
        return self._waiting

    def __iter__(self) -> Iterator[Entry[ItemT, ResultT]]:
        return (entry for turn in self._turns.values() for line in turn.values() for entry in line)

    def has(self, turn: Hashable) -> bool:
        """Whether anything of that request waits."""
        return turn in self._turns

    def oldest_arrival(self) -> float:
        """When the oldest entry came. The queue must not be empty."""
        return min(next(iter(line)).arrived for turn in self._turns.values() for line in turn.values())

    def add(self, entry: Entry[ItemT, ResultT]) -> None:
        self._turns.setdefault(entry.turn, {}).setdefault(entry.shape, {})[entry] = None
        self._waiting += 1

    def withdraw(self, entry: Entry[ItemT, ResultT]) -> None:
        """Take the item out, wherever it stands, if it still does."""
        turn = self._turns.get(entry.turn, {})
        line = turn.get(entry.shape, {})
        if entry not in line:
            return
        del line[entry]
        self._waiting -= 1
        if not line:
            del turn[entry.shape]
        if not turn:
            del self._turns[entry.turn]

    def clear(self) -> None:
        self._turns.clear()
        self._waiting = 0

    def take(self, most: int, now: float) -> tuple[list[Entry[ItemT, ResultT]], list[Entry[ItemT, ResultT]]]:
        """Take out the next batch, of at most `most` entries, and the expired entries that were met on the way.

        The batch has one shape: that of the oldest line of the request whose turn it is. Each request in turn gives
        one entry of that shape, again and again, until the batch is full or none has any left. A request that gave an
        entry goes to the end of the queue. An entry whose deadline is not after `now` is expired, and takes no place
        in the batch; an entry whose waiter has gone is dropped.
        """
        batch: list[Entry[ItemT, ResultT]] = []
        expired: list[Entry[ItemT, ResultT]] = []
        while self._turns and not batch:
            shape = next(iter(next(iter(self._turns.values()))))
            served = True
            while served and len(batch) < most:
                served = False
                for turn in list(self._turns):
                    entry = self._pop(turn, shape)
                    if entry is None:
                        continue
                    served = True
                    if entry.deadline <= now:
                        expired.append(entry)
                    elif not entry.result.done():
                        batch.append(entry)
                        if len(batch) == most:
                            break
        return batch, expired

    def _pop(self, name: Hashable, shape: Hashable) -> Entry[ItemT, ResultT] | None:
        """Take the request's oldest entry of that shape, and move the rest of the request to the end of the queue."""
        turn = self._turns[name]
        line = turn.get(shape)
        if line is None:
            return None
        entry = next(iter(line))
        self.withdraw(entry)
        if name in self._turns:
            self._turns[name] = self._turns.pop(name)
            if shape in turn:
                turn[shape] = turn.pop(shape)
        return entry
