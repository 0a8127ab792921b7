"""Timing that one can believe: contenders in turn, several rounds, medians and spreads, and the machine's ceilings."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from clpips.models.metric.backbone import tap_sizes
from clpips.models.metric.nets import CONVOLUTIONS


class Timing(NamedTuple):
    """Seconds that one call takes."""

    median: float
    low: float
    high: float


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def in_turn(
    contenders: Mapping[str, Callable[[], object]], device: str, rounds: int, seconds: float
) -> dict[str, Timing]:
    """Each contender's time for a call, from `rounds` rounds in which all take their turn for some `seconds`.

    A round's calls are timed together, with one wait for the device at their end, so that work which need not wait
    for an answer overlaps as it does in use. The first call warms up and tells how many calls fill the time.
    """
    calls: dict[str, int] = {}
    for name, call in contenders.items():
        call()
        calls[name] = max(1, round(seconds / _time(call, 1, device)))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            gc.collect()
            times[name].append(_time(call, calls[name], device))
    return {name: Timing(statistics.median(found), min(found), max(found)) for name, found in times.items()}


def _time(call: Callable[[], object], calls: int, device: str) -> float:
    synchronize(device)
    started = time.perf_counter()
    for _ in range(calls):
        call()
    synchronize(device)
    return (time.perf_counter() - started) / calls


def matrix_ceiling(device: str, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product of random numbers, without TF32: what the convolutions could reach at best."""
    side = 8192 if device == "cuda" else 2048 if dtype == torch.float32 else 512
    first, second = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    timing = in_turn({"product": lambda: first @ second}, device, rounds=5, seconds=0.2)["product"]
    return 2 * side**3 / timing.median


def copy_ceiling(device: str) -> float:
    """Bytes/s, read and written, of a copy far larger than the caches."""
    source = torch.ones(2**30 if device == "cuda" else 2**26, dtype=torch.float32, device=device)
    destination = torch.empty_like(source)
    timing = in_turn({"copy": lambda: destination.copy_(source)}, device, rounds=5, seconds=0.2)["copy"]
    return 2 * source.nbytes / timing.median


def flop(side: int) -> int:
    """Floating-point operations of the five convolutions for an image of `side` × `side` pixels."""
    return sum(
        2 * height * width * one.outputs * one.inputs * one.kernel**2
        for one, (height, width) in zip(CONVOLUTIONS, tap_sizes(side, side), strict=True)
    )
