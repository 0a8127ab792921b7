"""Rate limiting: requests, images and their cost a minute, of each API key or of all keys of a tenant together."""

import math
import time
from collections.abc import Callable, Collection
from typing import Literal, NamedTuple, Self

from clpips.service.admission.token_bucket import TokenBucket
from clpips.service.problems import TooManyRequests
from clpips.service.settings import Settings

By = Literal["key", "tenant"]


class Bounds(NamedTuple):
    """What may come in a minute; None is any number."""

    requests: int | None = None
    images: int | None = None
    cost: int | None = None  # in units: one is an image that is embedded at 256×256 pixels


class Rates:
    """A bucket of each kind for each key, or for each tenant. It is made when the key is first used."""

    def __init__(self, bounds: Bounds, by: By = "key", clock: Callable[[], float] = time.monotonic) -> None:
        self._bounds = bounds
        self._by = by
        self._clock = clock
        self._buckets: dict[tuple[str, str], TokenBucket] = {}  # by the kind, and the name of the key or tenant

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        bounds = Bounds(settings.rate_limit, settings.rate_limit_images, settings.rate_limit_cost)
        return cls(bounds, settings.rate_limit_by)

    def take_request(self, key: str, tenant: str) -> None:
        """Count a request. Raises `TooManyRequests`, whose `Retry-After` says for how many seconds to wait.

        So it does where more images, or more cost, were taken before than the minute has: the body need not be read.
        """
        self._take("requests", key, tenant, 1)
        self._take("images", key, tenant, 0)
        self._take("cost", key, tenant, 0)

    def take_images(self, key: str, tenant: str, images: int, cost: float) -> None:
        """Count a request's images, and the cost of those that are new. Raises `TooManyRequests`.

        A request that alone has more than a minute may is let through where nothing else came in that minute.
        """
        self._take("images", key, tenant, images)
        self._take("cost", key, tenant, cost)

    def keep(self, keys: Collection[str], tenants: Collection[str]) -> None:
        """Forget the buckets of all others."""
        names = keys if self._by == "key" else tenants
        self._buckets = {place: bucket for place, bucket in self._buckets.items() if place[1] in names}

    def _take(self, kind: Literal["requests", "images", "cost"], key: str, tenant: str, tokens: float) -> None:
        per_minute: int | None = getattr(self._bounds, kind)
        if per_minute is None:
            return
        name = key if self._by == "key" else tenant
        bucket = self._buckets.setdefault((kind, name), TokenBucket(per_minute))
        wait = bucket.take(self._clock(), tokens)
        if wait:
            what = "units of cost" if kind == "cost" else kind
            seconds = max(1, math.ceil(wait))
            raise TooManyRequests(
                f"the {self._by} {name!r} may send {per_minute:,} {what} a minute; wait {seconds} s",
                headers={"retry-after": str(seconds)},
            )
