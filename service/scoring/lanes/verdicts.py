"""Fault isolation: who is at fault where the engine fails, told by trying it at once on images known to be good."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.service.scoring.errors import FeaturesLostError

NOBODYS_FAULT: Final = (MemoryError, FeaturesLostError)  # neither the engine's nor its input's
USUAL_SIDE: Final = 256  # the default resolution, pixels


class EngineRefusedImage(Exception):  # noqa: N818 - a verdict, not a fault of ours
    """The engine fails on this image, and is well otherwise. The cause is what it raised."""


class EngineRefusedPair(Exception):  # noqa: N818 - a verdict, not a fault of ours
    """The engine fails to compare two images, and is well otherwise; it says which of them it cannot compare at all."""

    def __init__(self, *, target: bool, candidate: bool) -> None:
        super().__init__("the engine cannot compare these two images")
        self.target = target  # whether the target fails beside itself
        self.candidate = candidate


class NotFiniteError(ArithmeticError):
    """Channel distances that are NaN or infinite."""

    def __init__(self) -> None:
        super().__init__("the engine computed channel distances that are not finite numbers")


def known_images() -> list[NDArray[np.uint8]]:
    """Two different images `(256, 256, 3)` on which every engine must do."""
    noise = np.random.default_rng(0).integers(0, 256, (2, USUAL_SIDE, USUAL_SIDE, 3), np.uint8)  # (2, h, w, 3)
    return list(noise)


def judge_images(
    errors: Sequence[BaseException], is_well: Callable[[], bool], *, some_worked: bool
) -> Sequence[BaseException]:
    """What the waiters of images get on which an engine raised `errors`.

    Where others of the batch worked, or `is_well` finds that the engine works, the images are at fault. An engine that
    ran out of memory is not well, and the image is at no fault either: the error stays as it is.
    """
    if all(isinstance(error, NOBODYS_FAULT) for error in errors) or not (some_worked or is_well()):
        return errors
    return [error if isinstance(error, NOBODYS_FAULT) else _caused(EngineRefusedImage(), error) for error in errors]


def judge_pairs(
    pairs: Sequence[tuple[Any, Any]],
    errors: Sequence[BaseException],
    is_well: Callable[[], bool],
    compare: Callable[[Any, Any], object],
    *,
    some_worked: bool,
) -> Sequence[BaseException]:
    """What the waiters of pairs of features get, as `judge_images` has it; `compare` raises where it cannot do."""
    if all(isinstance(error, NOBODYS_FAULT) for error in errors) or not (some_worked or is_well()):
        return errors

    def fails(features: Any) -> bool:
        try:
            compare(features, features)
        except Exception:  # noqa: BLE001  whatever it is, it has failed
            return True
        return False

    return [
        error
        if isinstance(error, NOBODYS_FAULT)
        else _caused(EngineRefusedPair(target=fails(target), candidate=fails(candidate)), error)
        for (target, candidate), error in zip(pairs, errors, strict=True)
    ]


def is_at_fault(error: BaseException) -> bool:
    """Whether what a waiter gets says that its own input is at fault."""
    return isinstance(error, EngineRefusedImage | EngineRefusedPair)


def _caused(verdict: BaseException, error: BaseException) -> BaseException:
    verdict.__cause__ = error
    return verdict
