"""Executors: who does a job's tasks. In this process, or in processes of this machine (`on_ray.py`: on a cluster).

An executor hands out tasks in order and gives back outcomes as they come. A worker that dies is replaced, and its task
done again: carefully from the second time on.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.tasks import Outcome, Task, Works

MOST_DEATHS: Final = 4  # of workers at one task
CAREFUL_DEATHS: Final = 1  # after which files are decoded apart
MakeWorker = Callable[[], Works]


class Executor(Protocol):
    """Does tasks."""

    one_disk: bool
    """Whether all workers find the same files in the folder of features that several shards need."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Outcome]]:
        """Do all tasks; outcomes come as they are ready. Raises what a worker raises; `BulkError` where workers die."""
        ...

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        ...


class InlineExecutor:
    """One worker, in this process and thread."""

    one_disk = True

    def __init__(self, worker: Works) -> None:
        self._worker = worker

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Outcome]]:
        for task in tasks:
            yield task, self._worker.run(task)

    def close(self) -> None:
        self._worker.close()


class ProcessExecutor:
    """Workers in processes of their own: a decoder that crashes takes one of them with it, and not the job."""

    one_disk = True

    def __init__(self, make: MakeWorker, workers: int) -> None:
        """`make` makes a worker in its process; it must pickle."""
        self._make = make
        self._pools: list[ProcessPoolExecutor] = [self._start(number) for number in range(workers)]

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Outcome]]:
        remaining = iter(tasks)
        again: list[Task] = []
        deaths: dict[Task, int] = {}
        running: dict[Future[Outcome], tuple[int, Task]] = {}
        idle = list(range(len(self._pools)))
        while True:
            while idle and (task := again.pop() if again else next(remaining, None)) is not None:
                number = idle.pop()
                running[self._pools[number].submit(_run, task)] = (number, task)
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                number, task = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    self._pools[number].shutdown(wait=False)
                    self._pools[number] = self._start(number)
                    again.append(task_after_death(task, deaths))
                else:
                    yield task, outcome
                idle.append(number)

    def close(self) -> None:
        for pool in self._pools:
            processes = list((getattr(pool, "_processes", None) or {}).values())
            manager = getattr(pool, "_executor_manager_thread", None)
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
            for process in processes:
                process.join(5)
                if process.is_alive():
                    process.kill()
            if manager is not None:  # else it may close its pipe while the interpreter, which ends, writes to it
                manager.join(5)

    def _start(self, number: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(self._make, number))
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the process has what is blocked here
        try:
            pool.submit(int)  # starts it
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pool


def task_after_death(task: Task, deaths: dict[Task, int]) -> Task:
    """The task to do once more after its worker has died. Raises `BulkError` where too many have died of it."""
    key = replace(task, careful=False)
    deaths[key] = deaths.get(key, 0) + 1
    if deaths[key] >= MOST_DEATHS:
        raise BulkError(
            f"{MOST_DEATHS} workers have died of the same piece of work ({task.kind} {task.number}), and not of its "
            "images: is there enough memory? What is done is kept; smaller shards (--shard-images) or fewer workers "
            "(--engine-workers) need less"
        )
    return replace(task, careful=deaths[key] > CAREFUL_DEATHS)


_worker: Works | None = None  # of this process, where it is a worker's


def _begin(make: MakeWorker, number: int) -> None:
    """Become a worker: interrupts are for the parent to deal with, and where it is gone there is nothing to do."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if gpus := _gpus():  # each worker has one, in turn
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    _worker = make()


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [each for each in named.split(",") if each]
    present = Path("/proc/driver/nvidia/gpus")
    return [str(number) for number in range(len(list(present.iterdir())))] if present.is_dir() else []


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(task: Task) -> Outcome:
    if _worker is None:
        raise RuntimeError("this process is no worker")
    return _worker.run(task)
