"""Out-of-memory recovery: free some of the device's memory, halve the batch, and answer all the same."""

import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import torch

from clpips.models.engines.contract import DEFAULT_FEATURE_BYTES, EngineError
from clpips.models.engines.pytorch.cards import is_card
from clpips.models.engines.pytorch.messages import first_line

MEMORY_SHARE: Final = 0.5  # features get so much of the card's free memory

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


class OutOfMemoryError(EngineError):
    """The device's memory does not suffice even for one image or one pair, with the caches emptied."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory of the device ran out, on CUDA or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


def default_feature_bytes(device: str) -> int:
    """The bytes of features that are kept where nobody says how many: on a card half of its free memory."""
    if not is_card(device):
        return DEFAULT_FEATURE_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * MEMORY_SHARE)


def release_cached_memory(device: str) -> None:
    """Give the device what PyTorch keeps of memory that nobody uses."""
    if is_card(device):
        torch.cuda.empty_cache()


def largest_that_fits(build: Callable[[int], Result], size: int, device: str) -> Result | None:
    """`build(size)`, or of half, a quarter… of it where memory does not suffice; None where it does not for 1."""
    while size:
        try:
            return build(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        logger.warning("device memory ran out for %d at once: trying half", size)
        release_cached_memory(device)
        size //= 2
    return None


def in_halves(
    run: Callable[[Sequence[Item]], list[Result]],
    items: Sequence[Item],
    relieve: Callable[[], None],
    too_large: Callable[[int], None],
) -> list[Result]:
    """`run(items)`, in ever smaller parts where memory runs out; results in the order of the items.

    Before each new try `relieve` frees what it can. `too_large` learns the size of each batch that failed, so that
    the next ones are cut beforehand. Raises `OutOfMemoryError` where one item alone fails twice.
    """
    results: list[Result] = []
    message = _try(run, items, results)
    if message is None:
        return results
    logger.warning("device memory ran out with a batch of %d: %s", len(items), message)
    relieve()
    if len(items) == 1:
        message = _try(run, items, results)
        if message is not None:
            raise OutOfMemoryError(f"the device's memory does not suffice for this image: {message}")
        return results
    too_large(len(items))
    half = len(items) // 2
    return in_halves(run, items[:half], relieve, too_large) + in_halves(run, items[half:], relieve, too_large)


def nothing_to_lower(_: int) -> None:
    """For pairs, which are many and small: the next batch may well fit."""


def _try(run: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], results: list[Result]) -> str | None:
    """The first line of the error's message, if memory ran out.

    The exception, whose frames hold the batch's tensors, ends here.
    """
    try:
        results += run(items)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return first_line(error)
    return None
