"""Point estimate with its confidence interval and p-value: the form in which every statistic of agreement comes."""

from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
NAN: Final = float("nan")


@dataclass(frozen=True)
class Statistic:
    """A value with its 95 % confidence interval and p-value (of the value being 0), NaN where there is none."""

    value: float
    low: float = NAN
    high: float = NAN
    p: float = NAN


def is_constant(values: NDArray[Any]) -> bool:
    """Whether all values are the same: nothing varies, and no statistic of agreement is defined."""
    return bool((values == values.flat[0]).all())
