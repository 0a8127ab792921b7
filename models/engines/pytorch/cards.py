"""Current device: which CUDA card a name means, made the calling thread's own for as long as a call lasts."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import torch

from clpips.models.engines.contract import EngineError

Rest = ParamSpec("Rest")
Result = TypeVar("Result")


class Placed(Protocol):
    """Something that lies on a device."""

    @property
    def device(self) -> str: ...


Self = TypeVar("Self", bound=Placed)


def is_card(device: str) -> bool:
    """Whether a device is a CUDA card.

    >>> is_card("cuda:1"), is_card("cpu")
    (True, False)
    """
    return torch.device(device).type == "cuda"


def require_device(device: str) -> None:
    """Raise `EngineError` where PyTorch does not see a device."""
    if not is_card(device):
        return
    if not torch.cuda.is_available():
        raise EngineError("PyTorch sees no CUDA device: check nvidia-smi, and that this PyTorch is a CUDA build")
    count = torch.cuda.device_count()
    if (torch.device(device).index or 0) >= count:
        raise EngineError(
            f"PyTorch sees no {device}: it sees {count}, from cuda:0 to cuda:{count - 1}; check nvidia-smi and "
            "CUDA_VISIBLE_DEVICES"
        )


def current(device: str) -> AbstractContextManager[object]:
    """Let a card be the calling thread's current one: that is where streams, events and Triton's kernels go."""
    return torch.cuda.device(device) if is_card(device) else nullcontext()


def on_its_device(method: Callable[Concatenate[Self, Rest], Result]) -> Callable[Concatenate[Self, Rest], Result]:
    """A method that runs with its object's device current, whatever thread calls it."""

    @wraps(method)
    def run(self: Self, /, *args: Rest.args, **kwargs: Rest.kwargs) -> Result:
        with current(self.device):
            return method(self, *args, **kwargs)

    return run
