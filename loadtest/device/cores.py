"""Step: the CPU engine and the service of this machine by number of cores, and what stops them growing.

    python -m loadtest.device.cores

For each number of cores: the engine's threads in one process; as many processes of one core each, which share neither
the interpreter's lock nor anything but memory; and the service, whose event loop is one thread. A figure that does not
grow where the processes do points at the lock; one where the loop's thread is busy all the time, at the loop; and where
processes of their own do not grow either, at memory or the cores themselves.
"""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from clpips.models.engines.opening import open_engine
from clpips.models.metric.families import ALEXNET, CONTENT
from loadtest.device.rows import emit, seconds_left
from loadtest.kit.client import rank_body
from loadtest.kit.contenders import Server, clpips
from loadtest.kit.pictures import Pictures
from loadtest.kit.scenarios import CANDIDATES
from loadtest.kit.sustained import sustain

COUNTS = (2, 16, 8, 4, 1)  # in the order of what is to be known first
SECONDS = 1.0  # of each measure
SERVICE_SECONDS = 3.0
CLIENTS_A_CORE = 3
ROOM_SECONDS = 14  # for one more number of cores
SIXTEEN_BESIDE_TWO = 6  # the bar: rankings/s
BUSY = 0.9  # of the time: a thread or a core that is busy so long is what limits
LOCK = 1.25  # times as fast in processes as in threads: the lock


def engine_name() -> str:
    """ONNX Runtime; where it is missing, PyTorch."""
    return "onnx" if importlib.util.find_spec("onnxruntime") else "torch"


def worker(cores: list[int]) -> None:
    """Pinned to cores: say that the engine is open, wait for a line, and print images/s by network as JSON."""
    os.sched_setaffinity(0, cores)
    engine = open_engine(engine_name(), "cpu", threads=len(cores), convolution="auto")  # type: ignore[arg-type]
    images = np.random.default_rng(0).integers(0, 256, (engine.batch, 256, 256, 3), dtype=np.uint8)
    rates: dict[str, float] = {}
    with ThreadPoolExecutor(engine.parallel) as pool:

        def work(network: str) -> int:
            calls = 2 * engine.parallel
            list(pool.map(lambda _: engine.embed(images, more=True, network=network), range(calls)))
            return calls * len(images)

        for network in (ALEXNET, CONTENT):
            work(network)
        print("ready", flush=True)
        sys.stdin.readline()
        for network in (ALEXNET, CONTENT):
            started, done = time.perf_counter(), 0
            while (elapsed := time.perf_counter() - started) < SECONDS:
                done += work(network)
            rates[network] = done / elapsed
    print(json.dumps(rates), flush=True)


def engines_side_by_side(groups: list[list[int]]) -> dict[str, float]:
    """Images/s by network of workers on these groups of cores, all at the same time."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "loadtest.device.cores", "worker", *map(str, cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for cores in groups
    ]
    for process in workers:
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"a worker of the engine ended with {process.wait()}")
    for process in workers:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate()[0]) for process in workers]
    return {network: sum(answer[network] for answer in answers) for network in answers[0]}


@contextmanager
def service_on(cores: list[int], others: list[int]) -> Iterator[Server]:
    """A service on some cores; this process, which makes the load, on the others."""
    server = clpips(
        f"cores {len(cores)}", device="cpu", engine=engine_name(), threads=len(cores), decode_threads=len(cores)
    )
    os.sched_setaffinity(0, cores)  # what the service inherits
    try:
        server.launch()
    finally:
        os.sched_setaffinity(0, others)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.kill()


def thread_seconds(process: int) -> float:
    """Processor time of a process's first thread, which runs the event loop."""
    fields = Path(f"/proc/{process}/task/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def limit_of(busy: float, loop: float, lock: float, count: int) -> str:
    """What the figures point at: `busy` cores of `count`, the loop's share of one, processes beside threads."""
    if loop > BUSY:
        return "the event loop is busy all the time"
    if lock > LOCK:
        return f"processes are {lock:.2f} times as fast as threads: the interpreter's lock"
    if busy > BUSY * count:
        return "all cores are busy"
    return f"{count - busy:.1f} cores wait: the generator, or locks outside the interpreter"


def measure(count: int, cores: list[int]) -> float:
    """All figures of one number of cores; rankings/s of the service."""
    own, others = cores[:count], cores[count:] or cores
    threads = engines_side_by_side([own])
    processes = engines_side_by_side([[core] for core in own])
    for network in threads:
        emit(f"{count} cores, {network}: threads", threads[network], "images/s")
        emit(f"{count} cores, {network}: processes", processes[network], "images/s")
    pictures = Pictures(256, "npy", distinct=8)
    with service_on(own, others) as server:
        number = server.process.pid
        before, loop, started = server.processor_seconds(), thread_seconds(number), time.perf_counter()
        found = asyncio.run(
            sustain(
                [server.port],
                lambda: rank_body(next(pictures), pictures.take(CANDIDATES)),
                CLIENTS_A_CORE * count,
                SERVICE_SECONDS,
            )
        )
        elapsed = time.perf_counter() - started
        busy, looping = ((server.processor_seconds() - before) / elapsed, (thread_seconds(number) - loop) / elapsed)
    why = limit_of(busy, looping, processes[ALEXNET] / threads[ALEXNET], count)
    shared = "" if len(cores) > count else ", cores shared with the generator"
    note = f"{busy:.1f} cores busy, loop {looping:.2f}, generator {found.generator:.2f}{shared}; {why}"
    emit(f"{count} cores: service, .npy", found.per_second, "rankings/s", note=note)
    return found.per_second


def main() -> int:
    cores = sorted(os.sched_getaffinity(0))
    emit("cores of this machine", len(cores), note=f"engine {engine_name()}")
    rates: dict[int, float] = {}
    for count in COUNTS:
        if count > len(cores):
            print(f"{count} cores are not here")
        elif seconds_left() < ROOM_SECONDS:
            print(f"no time is left for {count} cores")
        else:
            rates[count] = measure(count, cores)
            os.sched_setaffinity(0, cores)
    if {2, 16} <= rates.keys():
        emit("16 cores beside 2", rates[16] / rates[2], "times", least=SIXTEEN_BESIDE_TWO, anywhere=True)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker([int(core) for core in sys.argv[2:]])
    else:
        sys.exit(main())
