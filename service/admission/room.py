"""Weighted semaphore: requests wait until there is room in memory for their pixels and features.

The door refuses requests that would wait too long; who is in waits here for the bytes that their images take, which are
known only when the images are.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from clpips.service.admission.door import Ticket
from clpips.service.ops.telemetry import Telemetry

OVERTAKEN_SECONDS: Final = 5.0  # for which others that fit may go before who waits for more room
SMALL_SHARE: Final = 1 / 8  # of the room for features: who needs more is large
LARGE_SHARE: Final = 3 / 4  # of it, that large requests may fill together; the rest is for small ones


class Need(NamedTuple):
    """Bytes that a request takes at a time."""

    pixels: int  # decoded, and not embedded yet
    features: int  # not compared yet

    def __bool__(self) -> bool:
        return bool(self.pixels or self.features)


@dataclass(eq=False, frozen=True)
class _Waiting:
    need: Need
    since: float
    entered: asyncio.Future[None]
    large: bool


class Room:
    """Bytes of pixels and of features that all requests take together, at most `most`.

    Large requests leave a part of it to small ones, which so never wait for large ones alone. A large one that no
    other large one is beside comes in whatever it needs: waiting would not help it. Requests enter in the order in
    which they came, interactive ones before bulk ones; one that fits goes before others that do not, until they have
    waited for `OVERTAKEN_SECONDS`.
    """

    def __init__(self, most: Need, telemetry: Telemetry) -> None:
        self.most = most
        self._pixels = 0
        self._small: dict[_Waiting, None] = {}
        self._large: dict[_Waiting, None] = {}
        self._interactive: list[_Waiting] = []
        self._bulk: list[_Waiting] = []
        telemetry.inflight_bytes.labels("pixels").set_function(lambda: self._pixels)
        telemetry.inflight_bytes.labels("features").set_function(
            lambda: _features(self._small) + _features(self._large)
        )

    @property
    def share(self) -> int:
        """Bytes of features that a request should not exceed at a time where it can do with less."""
        return int(self.most.features * LARGE_SHARE / 2)

    @asynccontextmanager
    async def of(self, need: Need, ticket: Ticket) -> AsyncIterator[None]:
        """Room for a request until the context ends; it is waited for until the request's deadline cancels the wait."""
        if not need:
            yield
            return
        line = self._bulk if ticket.place.bulk else self._interactive
        loop = asyncio.get_running_loop()
        waiting = _Waiting(need, loop.time(), loop.create_future(), self._is_large(need))
        line.append(waiting)
        try:
            self._let_in()
            await waiting.entered
            yield
        finally:
            if waiting in line:
                line.remove(waiting)
            else:
                del self._inside(waiting)[waiting]
                self._pixels -= need.pixels
            self._let_in()

    def _let_in(self) -> None:
        now = asyncio.get_running_loop().time()
        overtaken = False  # somebody has waited for long: others have no more than what is left to small ones anyway
        for line in (self._interactive, self._bulk):
            for waiting in list(line):
                if self._fits(waiting, overtaken=overtaken):
                    line.remove(waiting)
                    self._inside(waiting)[waiting] = None
                    self._pixels += waiting.need.pixels
                    waiting.entered.set_result(None)
                elif now - waiting.since > OVERTAKEN_SECONDS:
                    overtaken = True

    def _inside(self, waiting: _Waiting) -> dict[_Waiting, None]:
        return self._large if waiting.large else self._small

    def _is_large(self, need: Need) -> bool:
        return need.features > self.most.features * SMALL_SHARE

    def _fits(self, waiting: _Waiting, *, overtaken: bool) -> bool:
        need = waiting.need
        if not self._small and not self._large:
            return not overtaken
        if self._pixels + need.pixels > self.most.pixels:
            return False
        small, large, most = _features(self._small), _features(self._large), self.most.features
        left = most * (1 - LARGE_SHARE)  # what large ones leave
        fits = not overtaken and small + large + need.features <= most
        if waiting.large:
            alone = not overtaken and not large and small <= left
            return alone or (fits and large + need.features <= most * LARGE_SHARE)
        return fits or small + need.features <= left


def _features(inside: Iterable[_Waiting]) -> int:
    return sum(waiting.need.features for waiting in inside)
