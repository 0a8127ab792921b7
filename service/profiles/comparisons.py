"""Cache of the channel distances of recent `/rank` answers: a person's order of one comes back without the images."""

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.metric.families import Networks
from clpips.models.metric.packing import pack_z
from clpips.service.problems import ComparisonNotFound
from clpips.service.storage.comparisons import ComparisonStore
from clpips.service.storage.errors import StorageError
from clpips.service.storage.records import Comparison
from clpips.service.wire.schemas import Slot

OVERHEAD_BYTES: Final = 1024  # of one entry beside its arrays and hashes
ID_BYTES: Final = 16
ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

log = structlog.get_logger()


class RecentComparisons:
    """Comparisons by id, for `ttl` seconds and within `max_bytes` of memory: the oldest leave first.

    With a `shared` store they outlive this process and are known to its siblings.
    """

    def __init__(
        self,
        ttl: int,
        max_bytes: int,
        shared: ComparisonStore | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._shared = shared
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, Comparison]] = OrderedDict()  # by age; with the time of expiry
        self._bytes = 0

    async def keep(self, comparison: Comparison) -> str:
        """Keep a comparison; the id under which it is found again, which cannot be guessed."""
        name = secrets.token_urlsafe(ID_BYTES)
        self._held[name] = (self._clock() + self._ttl, comparison)
        self._bytes += held_bytes(comparison)
        self._evict()
        if self._shared is not None:
            try:
                await self._shared.put(name, comparison)
            except StorageError as error:
                # The answer matters more: this replica still knows it, and a client can always send the images.
                log.warning("comparison not shared", reason=str(error))
        return name

    async def find(self, tenant: str, name: str) -> Comparison:
        """A tenant's comparison. Raises `ComparisonNotFound`, or `StorageError` where only the database would know."""
        self._evict()
        held = self._held.get(name)
        found = held[1] if held is not None else None
        if found is None and self._shared is not None and ID.fullmatch(name):
            found = await self._shared.get(name)
        if found is None or found.tenant != tenant:
            raise ComparisonNotFound(
                f"there is no comparison {name[:64]!r}; they are kept for {self._ttl} s: rank again, or send the images"
            )
        return found

    def _evict(self) -> None:
        now = self._clock()
        while self._held:
            expiry, oldest = next(iter(self._held.values()))
            if expiry > now and self._bytes <= self._max_bytes:
                return
            self._held.popitem(last=False)
            self._bytes -= held_bytes(oldest)


def comparison_of(
    tenant: str,
    target: Slot,
    candidates: Sequence[Slot],
    channel_distances: NDArray[np.float32],
    networks: Networks,
    resolution: int | None,
    backbone: str,
    *,
    masked: bool = False,
) -> Comparison:
    """What came of comparing the images in these slots by some networks, `(n, 6016)`, where `masked` within a mask.

    Of the images it keeps the hashes alone, and of the mask nothing.
    """
    return Comparison(
        tenant,
        pack_z(channel_distances, networks),
        target.sha256,
        [candidate.sha256 for candidate in candidates],
        resolution,
        backbone,
        masked,
    )


def held_bytes(comparison: Comparison) -> int:
    """What a comparison takes in memory."""
    return comparison.channel_distances.nbytes + 128 * (1 + len(comparison.candidates)) + OVERHEAD_BYTES
