"""Comparison of embedded images: a pair, all pairs of a tile, or where a pair differs, on the lane that is its home.

The channel distances of recent pairs are held: whoever refines ranks the images of before with one more, again and
again, and after each lesson by other weights.
"""

from collections.abc import Awaitable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.families import ALEXNET, FAMILIES_OF, Families, ZLayout, networks_of
from clpips.models.metric.masks import Region
from clpips.service.admission.door import Ticket
from clpips.service.admission.throughput import cost_of
from clpips.service.batching.shelf import Shelf
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.embedded import Embedded
from clpips.service.scoring.lanes.choosing import Lanes
from clpips.service.scoring.lanes.lane import Lane, Located, MaskedPair, Pair, Placed, Tile

HELD_BYTES: Final = 16 * 2**20  # of recent pairs' channel distances: 3,600 pairs by LPIPS, 700 by all families


class PairName(NamedTuple):
    """What the channel distances of a pair depend on, beside the engine."""

    target: str  # the sha256
    candidate: str
    resolution: int | None
    families: Families


class Pairs:
    """Compares embedded images, each pair where the target's features lie."""

    def __init__(self, lanes: Lanes, layout: ZLayout, telemetry: Telemetry) -> None:
        self._lanes = lanes
        self._layout = layout
        self._telemetry = telemetry
        self._recent: Shelf[NDArray[np.float32]] = Shelf(HELD_BYTES)  # the parts of z that the families have

    def recent(self, name: PairName) -> NDArray[np.float32] | None:
        """Channel distances `(z,)` of a pair that has been compared without a mask, as `compare` gave them."""
        found = self._recent.find(name)
        if found is None:
            return None
        self._telemetry.pairs.labels("recent").inc()
        z = np.zeros(self._layout.length, np.float32)
        start = 0
        for place in self._places(name):
            z[place] = found[start : (start := start + place.stop - place.start)]
        return z

    def keep(self, name: PairName, z: NDArray[np.float32]) -> None:
        """Hold what `compare` gave of a pair without a mask; the longest unused leave."""
        if name not in self._recent:
            self._recent.keep(name, np.concatenate([z[place] for place in self._places(name)]))

    def _places(self, name: PairName) -> list[slice]:
        return [self._layout.places[family] for family in sorted(name.families)]

    async def compare(
        self,
        target: Embedded,
        candidate: Embedded,
        families: Families,
        ticket: Ticket,
        mask: Region | None = None,
    ) -> NDArray[np.float32]:
        """Channel distances `(z,)` of two images of one size, within a mask if there is one.

        Families that are not asked for are 0. Pairs without a mask share batches.
        Both must have been embedded by the networks that the families need. Raises `EngineRefusedPair`,
        `FeaturesLostError`, another error of the engine, or a `BatcherError`.
        """
        z: NDArray[np.float32] | None = None
        height, width = target.size
        for network in networks_of(families):
            own = families & FAMILIES_OF[network]
            pair = target.features[network], candidate.features[network]

            def work(lane: Lane, own: Families = own, pair: tuple[Placed, Placed] = pair) -> Awaitable[Any]:
                if mask is not None:
                    masked = MaskedPair(*pair, mask, own)
                    return lane.compare_within(masked, turn=ticket, deadline=ticket.deadline)
                return lane.compare(
                    Pair(*pair, own),
                    turn=ticket,
                    deadline=ticket.deadline,
                    shape=(target.size, own),
                    cost=cost_of(height * width),
                )

            part = await self._lanes.at_home(pair[0], pair[1:], work)
            z = part if z is None else z + part
        assert z is not None  # noqa: S101 - some family is always asked for
        self._telemetry.pairs.labels("compared").inc()
        return z

    async def compare_tile(
        self,
        targets: Sequence[Embedded],
        candidates: Sequence[Embedded],
        families: Families,
        weights: NDArray[np.float32],
        ticket: Ticket,
    ) -> NDArray[np.float32]:
        """Distances `(t, c)` of every target from every candidate, images of one size, by weights `(z,)`.

        All must have been embedded by the networks that the families need. Raises an error of the engine,
        `FeaturesLostError`, or a `BatcherError`.
        """
        sides = [[one.features for one in side] for side in (targets, candidates)]
        tile = Tile(sides[0], sides[1], families, weights)
        first, *others = (placed for one in (*targets, *candidates) for placed in one.features.values())
        return await self._lanes.at_home(
            first, others, lambda lane: lane.compare_tile(tile, turn=ticket, deadline=ticket.deadline)
        )

    async def locate(
        self,
        target: Embedded,
        candidate: Embedded,
        weights: NDArray[np.float32],
        ticket: Ticket,
        mask: Region | None = None,
    ) -> list[NDArray[np.float32]]:
        """Where two images of one size differ, a map a layer, within a mask if there is one: as `Engine.locate` has it.

        Both must have been embedded by AlexNet. Raises an error of the engine, `FeaturesLostError`, or a
        `BatcherError`.
        """
        pair = Located(target.features[ALEXNET], candidate.features[ALEXNET], weights, mask)
        return await self._lanes.at_home(
            pair.target, [pair.candidate], lambda lane: lane.locate(pair, turn=ticket, deadline=ticket.deadline)
        )
