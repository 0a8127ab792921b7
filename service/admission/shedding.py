"""Load shedding: a request that scores images and would be refused at the door is refused before anything else is done.

While a service is overloaded it refuses more than it answers, and what a refusal costs is taken from the answers. So
these are told from the head of the request alone, before it is routed, authenticated and given to a handler.
"""

import time
from collections.abc import Collection, Mapping
from http import HTTPMethod
from typing import Final

from litestar.types import HTTPScope

from clpips.service.admission.deadlines import PRIORITY_HEADER, TIMEOUT_HEADER, deadline_of, is_bulk
from clpips.service.admission.door import Door
from clpips.service.batching.turns import Place
from clpips.service.ops.http_metrics import count_unrouted
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import InvalidRequest, Overloaded
from clpips.service.wire.bodies import announced_bytes

TIMEOUT: Final = TIMEOUT_HEADER.lower().encode()
PRIORITY: Final = PRIORITY_HEADER.lower().encode()


class Shedder:
    """Asks the door about requests to `paths`, on behalf of nobody in particular: no key changes what it says."""

    def __init__(self, door: Door, longest_seconds: float, telemetry: Telemetry, paths: Collection[str]) -> None:
        """`longest_seconds` is the time from a request's head to its answer, where it does not ask for less."""
        self._door = door
        self._longest_seconds = longest_seconds
        self._telemetry = telemetry
        self._paths = frozenset(paths)

    def problem(self, scope: HTTPScope, headers: Mapping[bytes, str]) -> Overloaded | None:
        """Why a request is refused; None lets it through, also with headers that it will be refused for later."""
        if scope["method"] != HTTPMethod.POST or scope["path"] not in self._paths:
            return None
        began = time.perf_counter()
        try:
            deadline = deadline_of(headers.get(TIMEOUT), self._longest_seconds)
            place = Place(bulk=is_bulk(headers.get(PRIORITY)))
            self._door.require_room(deadline, announced_bytes(headers.get(b"content-length")), place)
        except InvalidRequest:
            return None
        except Overloaded as problem:
            scope["path_template"] = scope["path"]  # for whoever names a trace by it
            seconds = time.perf_counter() - began
            count_unrouted(self._telemetry, scope["method"], scope["path"], problem.status, seconds)
            return problem
        return None
