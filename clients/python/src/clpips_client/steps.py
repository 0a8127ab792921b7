"""Sans-IO: an operation is a generator that yields what it wants done, and is sent what came of it.

It yields a `Call` and is sent an `Answer`, or has a `ConnectionLostError` or an `OutOfTimeError` thrown in; it yields
a `Pause` and is sent None. `running.py` drives it, on a thread or on an event loop; a test drives it by hand.
"""

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A request to be sent, and for how many seconds its answer and, of these, a connection may be waited for."""

    method: str
    path: str
    content: bytes
    headers: Mapping[str, str]
    seconds: float
    connecting: float = math.inf


@dataclass(frozen=True)
class Answer:
    """What came back: any status, the whole body, and headers by their names in small letters."""

    status: int
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pause:
    """Seconds to wait."""

    seconds: float


Flow = Generator["Call | Pause", "Answer | None", T]
