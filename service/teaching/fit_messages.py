"""Messages between the service and its fit workers: length-prefixed pickles on a pipe.

They load no solver: the service only sends tasks, and the worker alone computes.
"""

import pickle
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, NamedTuple, Self
from uuid import UUID

from clpips.models.fitting.job import FitResult
from clpips.models.metric.families import Networks
from clpips.service.storage.errors import StorageError
from clpips.service.storage.records import Profile

LENGTH_BYTES: Final = 8
MOST_BYTES: Final = 768 * 2**20  # of data that a process may have


@dataclass(frozen=True)
class Task:
    """Fit a profile to those of its rankings that counted when it was looked up."""

    profile_id: UUID
    base_version: int  # that the fit starts from
    last_ranking: int
    networks: Networks  # that may count
    most_bytes: int = MOST_BYTES  # of data, for the process that fits

    @classmethod
    def of(cls, seen: Profile, networks: Networks) -> Self:
        """The fit of a profile as it was seen."""
        return cls(seen.id, seen.base_version, seen.latest_ranking, networks)


@dataclass(frozen=True)
class Failure:
    """A fit raised an error."""

    traceback: str
    wanted_memory: bool = False  # more than the process may have


Answer = FitResult | StorageError | Failure | None  # None: the profile has been deleted


class Reply(NamedTuple):
    """What a worker answers, and whether it is as good as a new one for the next task."""

    answer: Answer
    sound: bool


def framed(message: object) -> bytes:
    """A message as it goes through a pipe."""
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return len(content).to_bytes(LENGTH_BYTES, "little") + content


def next_message(messages: BinaryIO) -> Any:
    """The next message from a pipe, None at its end."""
    head = messages.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    content = messages.read(length := int.from_bytes(head, "little"))
    return pickle.loads(content) if len(content) == length else None  # noqa: S301 - from our own parent or child
