"""Hierarchical round-robin queue: priorities, in each the keys in turn, and of each key its requests in turn.

An item may be waited for by several requests. It stands in the lines of all of them, and is served when the first of
their turns comes. Only items of one shape come out together.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

BULK_EVERY: Final = 16  # of so many batches one is of bulk items, however much else waits


class Place(NamedTuple):
    """Where a request stands: keys take turns, and bulk yields to everything else."""

    key: Hashable = None
    bulk: bool = False


class Claims:
    """The requests that wait for one item, which may join and leave while it waits."""

    def __init__(self, turn: Hashable) -> None:
        self._turns = Counter([turn])
        self._standing: tuple[Turns[object, object], Entry[object, object]] | None = None

    def __iter__(self) -> Iterator[Hashable]:
        return iter(list(self._turns))

    def join(self, turn: Hashable) -> None:
        """The item is served at this request's turn too."""
        self._turns[turn] += 1
        if self._standing is not None and self._turns[turn] == 1:
            queue, entry = self._standing
            queue.insert(entry, turn)

    def leave(self, turn: Hashable) -> None:
        """This request waits no more."""
        self._turns[turn] -= 1
        if self._turns[turn] > 0:
            return
        del self._turns[turn]
        if self._standing is not None and self._turns:  # the last one withdraws the item itself
            queue, entry = self._standing
            queue.remove(entry, turn)

    def stand(self, queue: "Turns[object, object] | None", entry: "Entry[object, object] | None") -> None:
        """The item waits in this queue as this entry; None: it waits in none."""
        self._standing = None if queue is None or entry is None else (queue, entry)


@dataclass(eq=False, slots=True)
class Entry(Generic[ItemT, ResultT]):
    """An item that waits; `claims` are its requests. Times are of the event loop's clock."""

    item: ItemT
    claims: Claims
    shape: Hashable
    deadline: float
    arrived: float
    result: asyncio.Future[ResultT]
    cost: float = 1.0
    started: float | None = None  # when its batch did
    turns: list[Hashable] = field(default_factory=list)  # in whose lines it stands or stood


_Line = dict[Entry[ItemT, ResultT], None]  # a dict, for removal from anywhere at no cost; the oldest entry first
_Turn = dict[Hashable, _Line[ItemT, ResultT]]  # one request's entries by shape
_Key = dict[Hashable, _Turn[ItemT, ResultT]]  # one key's requests, the one whose turn it is first


class Turns(Generic[ItemT, ResultT]):
    """Round-robin queue of entries. `place` says where a request stands."""

    def __init__(self, place: Callable[[Hashable], Place] = lambda _: Place()) -> None:
        self._place = place
        self._interactive: dict[Hashable, _Key[ItemT, ResultT]] = {}  # the key whose turn it is first
        self._bulk: dict[Hashable, _Key[ItemT, ResultT]] = {}
        self._waiting: dict[Entry[ItemT, ResultT], None] = {}  # the oldest first
        self._since_bulk = 0  # batches, while bulk waited

    def __len__(self) -> int:
        """Items that wait."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[Entry[ItemT, ResultT]]:
        return iter(list(self._waiting))

    def has(self, turn: Hashable) -> bool:
        """Whether anything of that request waits."""
        keys, key = self._keys_of(turn)
        return turn in keys.get(key, {})

    def oldest_arrival(self) -> float:
        """When the oldest entry came. The queue must not be empty."""
        return next(iter(self._waiting)).arrived

    def add(self, entry: Entry[ItemT, ResultT]) -> None:
        """Let an entry wait, in the lines of all its requests."""
        self._waiting[entry] = None
        for turn in entry.claims:
            self.insert(entry, turn)
        entry.claims.stand(self, entry)  # type: ignore[arg-type]

    def insert(self, entry: Entry[ItemT, ResultT], turn: Hashable) -> None:
        """Let a waiting entry stand in the line of one more request."""
        keys, key = self._keys_of(turn)
        keys.setdefault(key, {}).setdefault(turn, {}).setdefault(entry.shape, {})[entry] = None
        entry.turns.append(turn)

    def remove(self, entry: Entry[ItemT, ResultT], turn: Hashable) -> None:
        """Take an entry out of the line of one request, if it stands there."""
        keys, key = self._keys_of(turn)
        lines = keys.get(key, {}).get(turn, {})
        line = lines.get(entry.shape, {})
        if entry not in line:
            return
        del line[entry]
        if not line:
            del lines[entry.shape]
        if not lines:
            del keys[key][turn]
        if not keys[key]:
            del keys[key]

    def withdraw(self, entry: Entry[ItemT, ResultT]) -> None:
        """Take the item out, wherever it stands, if it still does."""
        if entry not in self._waiting:
            return
        del self._waiting[entry]
        for turn in entry.turns:
            self.remove(entry, turn)
        entry.claims.stand(None, None)

    def clear(self) -> None:
        """Take all out."""
        for entry in self:
            self.withdraw(entry)

    def take(
        self, most: int, now: float, *, most_cost: float, fits: Callable[[Entry[ItemT, ResultT]], bool]
    ) -> tuple[list[Entry[ItemT, ResultT]], list[Entry[ItemT, ResultT]]]:
        """Take out the next batch, and the expired entries that were met on the way.

        The batch has at most `most` entries, which cost `most_cost` together at most, or is one that costs more. It has
        one shape: that of the oldest line that `fits` of the request whose turn it is. Each key in turn gives one
        entry of that shape, of its request whose turn it is, again and again, until the batch is full or none has any
        left. A key and a request that gave an entry go to the end of their queues. An entry whose deadline is not
        after `now` is expired, and takes no place in the batch; an entry whose waiter has gone is dropped.
        """
        batch: list[Entry[ItemT, ResultT]] = []
        expired: list[Entry[ItemT, ResultT]] = []
        while not batch and (found := self._next(fits)) is not None:
            keys, shape = found
            cost = 0.0
            served = True
            while served and len(batch) < most:
                served = False
                for key in list(keys):
                    entry = self._first(keys, key, shape)
                    if entry is None or (batch and cost + entry.cost > most_cost):
                        continue
                    self._serve(keys, key, entry)
                    served = True
                    if entry.deadline <= now:
                        expired.append(entry)
                    elif not entry.result.done():
                        batch.append(entry)
                        cost += entry.cost
                        if len(batch) == most:
                            break
        if batch:
            self._since_bulk = 0 if not self._bulk or keys is self._bulk else self._since_bulk + 1
        return batch, expired

    def _keys_of(self, turn: Hashable) -> tuple[dict[Hashable, _Key[ItemT, ResultT]], Hashable]:
        place = self._place(turn)
        return self._bulk if place.bulk else self._interactive, place.key

    def _next(
        self, fits: Callable[[Entry[ItemT, ResultT]], bool]
    ) -> tuple[dict[Hashable, _Key[ItemT, ResultT]], Hashable] | None:
        """The queue whose turn it is, and the shape of the batch; None where nothing waits that fits."""
        order = [self._interactive, self._bulk]
        if self._since_bulk >= BULK_EVERY - 1:
            order.reverse()
        for keys in order:
            for requests in keys.values():
                for lines in requests.values():
                    for shape, line in lines.items():
                        if fits(next(iter(line))):
                            return keys, shape
        return None

    @staticmethod
    def _first(
        keys: dict[Hashable, _Key[ItemT, ResultT]], key: Hashable, shape: Hashable
    ) -> Entry[ItemT, ResultT] | None:
        """The entry of that shape which the key would give next."""
        for lines in keys[key].values():
            if shape in lines:
                return next(iter(lines[shape]))
        return None

    def _serve(self, keys: dict[Hashable, _Key[ItemT, ResultT]], key: Hashable, entry: Entry[ItemT, ResultT]) -> None:
        """Take the entry out, and let the key and its request that gave it go to the end of their queues."""
        turn = next(turn for turn, lines in keys[key].items() if entry in lines.get(entry.shape, ()))
        self.withdraw(entry)
        if key not in keys:
            return
        requests = keys[key] = keys.pop(key)
        if turn in requests:
            lines = requests[turn] = requests.pop(turn)
            if entry.shape in lines:
                lines[entry.shape] = lines.pop(entry.shape)
