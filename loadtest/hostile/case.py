"""A case: something hostile or unlucky that is done to a service, and what must come of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from loadtest.hostile.service import Service


class Unexpected(Exception):  # noqa: N818 - what came, where something else should have
    """The service did something else than it should; the message says what."""


@dataclass(frozen=True)
class Case:
    """One case. `check` raises `Unexpected` where it does not hold; any other exception counts as one too."""

    name: str
    check: Callable[[Service], Awaitable[None]]
    seconds: float = 20.0  # a check that takes longer has failed: something hangs


@dataclass(frozen=True)
class Suite:
    """Cases that one service process meets one after the other; a case that ends the process starts another.

    `settings` are the service's own, by the names of `CLPIPS_*` in small letters. In a suite that is `watched`, no
    `/healthz` may take over 250 ms and memory must stay under 1.2 GiB.
    """

    name: str
    cases: Sequence[Case]
    settings: Mapping[str, str | int | float] = field(default_factory=dict)
    watched: bool = True


def expect(condition: object, complaint: str) -> None:
    """Raise `Unexpected` with the complaint where the condition does not hold."""
    if not condition:
        raise Unexpected(complaint)
