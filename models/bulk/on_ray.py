"""An executor on a Ray cluster: actors with an engine each. What Ray does is scheduling, transport and noticing deaths.

Actors, and not `map_batches`: when an actor or its node dies, its task alone is done again, by an actor that is started
in its place, wherever there is room. Workers read images and write parts themselves; tasks and outcomes are small.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import ray
from ray.exceptions import RayActorError, RayTaskError, WorkerCrashedError

from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.executors import task_after_death
from clpips.models.bulk.tasks import Outcome, Task

MOST_CPUS: Final = 8  # of a worker, unless told otherwise


class RayExecutor:
    """Workers as actors of a cluster."""

    def __init__(
        self,
        address: str,
        make: Callable[..., Any],
        arguments: tuple[Any, ...],
        spill: str | None = None,
        workers: int | None = None,
        cpus: int | None = None,
        gpus: int = 0,
    ) -> None:
        """`make(*arguments, threads, spill)` makes a worker. Raises `BulkError` where the cluster cannot be reached."""
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            try:
                ray.init(None if address == "local" else address, log_to_driver=False, logging_level=logging.WARNING)
            except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
                raise BulkError(f"no Ray cluster at {address!r}: {' '.join(str(error).split())}") from error
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        smallest = min((int(node.get("CPU", 0)) for node in nodes if node.get("CPU")), default=1)
        self._cpus = cpus or max(1, min(smallest, MOST_CPUS))
        self._gpus = gpus
        room = sum(int(node.get("CPU", 0)) // self._cpus for node in nodes)
        if gpus:
            room = min(room, sum(int(node.get("GPU", 0)) // gpus for node in nodes))
        if not room:
            raise BulkError(f"no node of the cluster has {self._cpus} CPUs and {gpus} GPUs for a worker")
        self._arguments = (make, *arguments, self._cpus, spill)
        self._actors = [self._start() for _ in range(workers or room)]

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Outcome]]:
        remaining = iter(tasks)
        again: list[Task] = []
        deaths: dict[Task, int] = {}
        running: dict[Any, tuple[int, Task]] = {}
        idle = list(range(len(self._actors)))
        while True:
            while idle and (task := again.pop() if again else next(remaining, None)) is not None:
                number = idle.pop()
                running[self._actors[number].run.remote(task)] = (number, task)
            if not running:
                return
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                number, task = running.pop(reference)
                try:
                    outcome: Outcome = ray.get(reference)
                except (RayActorError, WorkerCrashedError):
                    again.append(task_after_death(task, deaths))
                    self._actors[number] = self._start()
                except RayTaskError as error:
                    raise error.cause from error
                else:
                    yield task, outcome
                idle.append(number)

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor)
        if self._started_ray:
            ray.shutdown()

    def _start(self) -> Any:
        return _Actor.options(num_cpus=self._cpus, num_gpus=self._gpus, max_restarts=0).remote(*self._arguments)  # type: ignore[attr-defined]


@ray.remote
class _Actor:
    """A worker on a node."""

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        self._worker = make(*arguments)

    def run(self, task: Task) -> Outcome:
        outcome: Outcome = self._worker.run(task)
        return outcome
