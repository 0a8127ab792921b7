"""Worker process on two pipes: fits to the rankings that it reads itself, until its input ends.

The service has no part in the reading, which would cost it more than all else about a fit. Each message on the pipes
is its length and a pickle; the first one in is the database's URL, every other a `Task`.
"""

import asyncio
import os
import pickle
import sys
import traceback
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.personal import FitJob, FitResult, fit
from clpips.service.storage.database import Database
from clpips.service.storage.errors import StorageError, VersionMissingError
from clpips.service.storage.reading import ProfileReader
from clpips.service.storage.records import Profile
from clpips.service.teaching.scheduling import give_way, pausing

LENGTH_BYTES: Final = 8


@dataclass(frozen=True, eq=False)
class Task:
    """Fit a profile to those of its rankings that counted when it was looked up."""

    profile_id: UUID
    base_version: int  # that the fit starts from
    after_ranking: int  # rankings up to this one no longer count
    last_ranking: int
    lpips: NDArray[np.float32]  # (3456,) to compare with

    @classmethod
    def of(cls, seen: Profile, lpips: NDArray[np.float32]) -> Self:
        """The fit of a profile as it was seen."""
        return cls(seen.id, seen.base_version, seen.forgotten_ranking, seen.latest_ranking, lpips)


@dataclass(frozen=True)
class Failure:
    """A fit raised an error."""

    traceback: str


Answer = FitResult | StorageError | Failure | None  # None: the profile has been deleted


def framed(message: object) -> bytes:
    """A message as it goes through a pipe."""
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return len(content).to_bytes(LENGTH_BYTES, "little") + content


async def work(tasks: BinaryIO, answers: BinaryIO) -> None:
    """Answer each task, until there are no more."""
    url: str | None = _next(tasks)
    if url is None:
        return
    database = Database(url)
    while (task := _next(tasks)) is not None:
        answers.write(framed(await _answer(ProfileReader(database), task)))
        answers.flush()
    await database.close()


def _next(messages: BinaryIO) -> Any:
    """The next message, None at the end."""
    head = messages.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    return pickle.loads(messages.read(int.from_bytes(head, "little")))  # noqa: S301 - from the parent process


async def _answer(reader: ProfileReader, task: Task) -> Answer:
    try:
        job = await read(reader, task)
        with pausing():
            return fit(job)
    except VersionMissingError:
        return None
    except StorageError as error:
        return error
    except Exception:  # noqa: BLE001 - the parent decides what it means
        return Failure(traceback.format_exc())


async def read(reader: ProfileReader, task: Task) -> FitJob:
    """What there is to fit. Raises `VersionMissingError` where the profile has been deleted, or `StorageError`."""
    kept = reader.rankings(task.profile_id, task.after_ranking, task.last_ranking)
    rankings = [ranking async for ranking in kept]
    base = await reader.version(task.profile_id, task.base_version)  # after them: it goes when they go
    return FitJob(
        channel_distances=[ranking.channel_distances for ranking in rankings],
        ranks=[ranking.ranks for ranking in rankings],
        targets=[ranking.target for ranking in rankings],
        base=base.weights,
        resolution=base.resolution,
        lpips=task.lpips,
    )


def main() -> None:
    """Work on the pipes that the parent process made."""
    give_way()
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C in a terminal is for the service, which ends the worker when it is done with it
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints must not end up among the answers
        asyncio.run(work(sys.stdin.buffer, answers))
