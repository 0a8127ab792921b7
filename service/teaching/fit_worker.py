"""Worker process on two pipes: fits to the rankings that it reads itself, until its input ends.

The service has no part in the reading, which would cost it more than all else about a fit. The first message that comes
in is the database's URL, every other a `Task`.
"""

import asyncio
import os
import sys
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.job import FitJob
from clpips.models.fitting.personal import fit, nobody
from clpips.models.metric.families import ALL_NETWORKS, Networks
from clpips.models.metric.packing import limit_packed
from clpips.models.metric.trained_on import TrainedOn
from clpips.models.metric.weights import LayerWeights, WeightsError
from clpips.service.storage.database import Database
from clpips.service.storage.errors import StorageError, VersionMissingError
from clpips.service.storage.reading import ProfileReader
from clpips.service.storage.records import KeptRanking
from clpips.service.teaching.fit_messages import MOST_BYTES, Answer, Failure, Reply, Task, framed, next_message
from clpips.service.teaching.memory import keep_freed
from clpips.service.teaching.scheduling import give_way, pausing
from clpips.service.teaching.second_process import SecondProcess

# A fit takes some 150 KB for each candidate and 0.5 KB for each ordered pair of them, beside 150 MiB for the process.
MOST_ROWS: Final = 2_500  # candidates: 250 rankings of ten
MOST_PAIRS: Final = 100_000  # three rankings of 255
PAGE: Final = 50  # rankings read at once


async def work(tasks: BinaryIO, answers: BinaryIO, second: SecondProcess | None = None) -> None:
    """Answer each task, until there are no more; a second process may do a part of each."""
    url: str | None = next_message(tasks)
    if url is None:
        return
    database = Database(url)
    while (task := next_message(tasks)) is not None:
        answer = await _answer(ProfileReader(database), task, second)
        answers.write(framed(Reply(answer, sound=second is None or not second.lost)))
        answers.flush()
    await database.close()


async def _answer(reader: ProfileReader, task: Task, second: SecondProcess | None) -> Answer:
    try:
        _bound_memory(task.most_bytes)
        job = await read(reader, task)
        with pausing():
            return fit(job, second.beside if second is not None else nobody)
    except VersionMissingError:
        return None
    except StorageError as error:
        return error
    except Exception as error:  # noqa: BLE001 - the parent decides what it means
        return Failure(traceback.format_exc(), isinstance(error, MemoryError))
    finally:
        _bound_memory(MOST_BYTES)


async def read(reader: ProfileReader, task: Task) -> FitJob:
    """What there is to fit. Raises `VersionMissingError` where the profile has been deleted, or `StorageError`."""
    rankings: deque[KeptRanking] = deque()  # the newest, as many as a fit's memory has room for
    rows = pairs = 0
    async for ranking in reader.rankings(task.profile_id, task.last_ranking, page=PAGE):
        rankings.append(ranking)
        rows, pairs = rows + len(ranking.ranks), pairs + _most_pairs(ranking)
        while len(rankings) > 1 and (rows > MOST_ROWS or pairs > MOST_PAIRS):
            oldest = rankings.popleft()
            rows, pairs = rows - len(oldest.ranks), pairs - _most_pairs(oldest)
    base = await reader.version(task.profile_id, task.base_version)  # after them: it goes when they go
    return FitJob(
        channel_distances=[limit_packed(ranking.channel_distances, task.networks) for ranking in rankings],
        ranks=[ranking.ranks for ranking in rankings],
        targets=[ranking.target for ranking in rankings],
        candidates=[ranking.candidates for ranking in rankings],
        base=_limited(base.weights, task.networks),
        resolution=_shared([ranking.resolution for ranking in rankings], base.resolution),
        base_trained_on=TrainedOn.of_metadata(base.report.get("trained_on", {})),
    )


def _limited(base: NDArray[np.float32], networks: Networks) -> NDArray[np.float32]:
    """What a fit starts from, `(z,)`, where these networks alone may count; as it is where too little would be left."""
    weights = LayerWeights(base, "base")
    with suppress(WeightsError):
        return weights.without(ALL_NETWORKS - networks) if weights.networks - networks else base
    return base


def _shared(resolutions: Sequence[int | None], otherwise: int | None) -> int | None:
    """The resolution at which all rankings were compared, and `otherwise` where they are at several, or none."""
    distinct = set(resolutions)
    return distinct.pop() if len(distinct) == 1 else otherwise


def _most_pairs(ranking: KeptRanking) -> int:
    """As many ordered pairs as a ranking has without ties."""
    return len(ranking.ranks) * (len(ranking.ranks) - 1) // 2


def _bound_memory(nbytes: int) -> None:
    """Have the kernel refuse this process more than so many bytes: its fit then fails, and nothing else does."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (nbytes, MOST_BYTES))


def main(niceness: int) -> None:
    """Work on the pipes that the parent process made."""
    _bound_memory(MOST_BYTES)
    keep_freed()
    give_way(niceness)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C in a terminal is for the service, which ends the worker when it is done with it
    second = SecondProcess.start()
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints must not end up among the answers
        try:
            asyncio.run(work(sys.stdin.buffer, answers, second))
        finally:
            if second is not None:
                second.close()
