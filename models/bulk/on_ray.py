"""An executor on a Ray cluster: actors with an engine each. What Ray does is scheduling, transport and noticing deaths.

Actors, and not `map_batches`: when an actor or its node dies, its task alone is done again, by an actor that is started
in its place, wherever there is room. Workers read images and write parts themselves; tasks and outcomes are small.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError, WorkerCrashedError

from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.executors import task_after_death
from clpips.models.bulk.tasks import Outcome, Task

MOST_CPUS: Final = 8  # of a worker, unless told otherwise
MOST_FAILED_STARTS: Final = 5  # of workers, one after the other
CONNECT_SECONDS: Final = 10.0
DEATHS: Final = (RayActorError, WorkerCrashedError, NodeDiedError, OutOfMemoryError)  # of an actor, whatever of


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
        *,
        one_disk: bool = True,
    ) -> None:
        """`make(*arguments, threads, spill)` makes a worker; each has so many CPUs and GPUs.

        `workers` is their number: as many as the cluster has room for, unless told. `one_disk` says whether all nodes
        find the same files in the folder for features. Raises `BulkError` where the cluster cannot be reached.
        """
        self.one_disk = one_disk
        self._started_ray = not ray.is_initialized()
        if self._started_ray:
            _require_answer(address)
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
        self.actors: dict[int, Any] = {}
        self._starting: dict[Any, int] = {}  # by what each says when it is there
        self._idle: list[int] = []
        self._failed = 0  # starts, one after the other
        for number in range(workers or room):
            self._start(number)

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Outcome]]:
        remaining = iter(tasks)
        again: list[Task] = []
        deaths: dict[Task, int] = {}
        running: dict[Any, tuple[int, Task]] = {}
        waiting: Task | None = None  # for an actor that is there
        while True:
            waiting = waiting or (again.pop() if again else next(remaining, None))
            while self._idle and waiting is not None:
                number = self._idle.pop()
                running[self.actors[number].run.remote(waiting)] = (number, waiting)
                waiting = again.pop() if again else next(remaining, None)
            if not running and waiting is None:
                return
            (reference,), _ = ray.wait([*running, *self._starting], num_returns=1)
            if reference in self._starting:
                self._greet(reference)
                continue
            number, task = running.pop(reference)
            try:
                outcome: Outcome = ray.get(reference)
            except DEATHS:
                again.append(task_after_death(task, deaths))
                self._start(number)
            except RayTaskError as error:
                raise error.cause from error
            else:
                self._idle.append(number)
                yield task, outcome

    def _start(self, number: int) -> None:
        """Start an actor in this one's place: it is there as soon as a node has room."""
        options = {"num_cpus": self._cpus, "num_gpus": self._gpus, "max_restarts": 0}
        self.actors[number] = _Actor.options(**options).remote(*self._arguments)  # type: ignore[attr-defined]
        self._starting[self.actors[number].process.remote()] = number

    def _greet(self, reference: Any) -> None:
        """Take an actor that is there into use. Raises `BulkError` where one after the other fails to start."""
        number = self._starting.pop(reference)
        try:
            ray.get(reference)
        except DEATHS as error:
            self._failed += 1
            if self._failed > MOST_FAILED_STARTS:
                raise BulkError(f"workers do not start on the cluster: {' '.join(str(error).split())[:500]}") from error
            self._start(number)
        else:
            self._failed = 0
            self._idle.append(number)

    def close(self) -> None:
        for actor in self.actors.values():
            ray.kill(actor)
        if self._started_ray:
            ray.shutdown()


def _require_answer(address: str) -> None:
    """Raise `BulkError` where an address `host:port` does not answer: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "://" in address or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise BulkError(f"no Ray cluster at {address!r}: {error.strerror or error}") from error


@ray.remote
class _Actor:
    """A worker on a node."""

    def __init__(self, make: Callable[..., Any], *arguments: Any) -> None:
        self._worker = make(*arguments)

    def process(self) -> int:
        return os.getpid()

    def run(self, task: Task) -> Outcome:
        outcome: Outcome = self._worker.run(task)
        return outcome
