"""Point estimate with its confidence interval and p-value: the form in which every statistic of agreement comes."""

from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

CONFIDENCE: Final = 0.95
SIGNIFICANCE: Final = 0.05
NAN: Final = float("nan")


@dataclass(frozen=True)
class Statistic:
    """A value with its 95 % confidence interval and p-value (of the value being 0, two-sided), NaN where there is none.

    `why` says why the value is undefined, where it is.
    """

    value: float
    low: float = NAN
    high: float = NAN
    p: float = NAN
    why: str = ""


def undefined(why: str) -> Statistic:
    """A statistic that has no value, and the reason."""
    return Statistic(NAN, why=why)


def is_constant(values: NDArray[Any]) -> bool:
    """Whether all values are the same: nothing varies, and no statistic of agreement is defined."""
    return bool((values == values.flat[0]).all())
