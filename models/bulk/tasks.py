"""Tasks of a job, as plain data that goes to workers, and what comes back."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, Protocol

Kind = Literal["describe", "hash", "embed", "score"]


@dataclass(frozen=True)
class Task:
    """One piece of work. `careful` is for a piece that has ended its worker before: files are decoded apart."""

    kind: Kind
    number: int = 0
    names: tuple[str, ...] = ()  # of the images that are hashed
    retry: bool = False  # only rows with errors
    careful: bool = False


@dataclass
class Outcome:
    """What a piece of work came to."""

    rows: int = 0
    pairs: int = 0
    bad_rows: int = 0  # with an error
    images: int = 0  # embedded
    errors: Counter[str] = field(default_factory=Counter)  # how often each was met
    engine: dict[str, str] = field(default_factory=dict)  # of a worker that was asked to describe itself
    not_spilled: int = 0  # files that had no room on the disk


class Works(Protocol):
    """Who does tasks, one after the other."""

    def run(self, task: Task) -> Outcome: ...

    def close(self) -> None: ...


def hashes_name(number: int) -> str:
    """The file of a piece of the images' hashes."""
    return f"{number:06}.bin"
