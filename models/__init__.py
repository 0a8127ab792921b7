"""The metric: arrays in, arrays out. Knows nothing of HTTP, asyncio or databases, and imports no PyTorch by itself.

`Metric` is the way in for programs (`api.py`); it is loaded when it is asked for, so that who uses a part of the rooms
pays for no more.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clpips.models.api import Metric

__all__ = ["Metric"]


def __getattr__(name: str) -> Any:
    if name != "Metric":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clpips.models.api import Metric

    return Metric
