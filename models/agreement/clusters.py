"""Clusters of dependent judgments: the rankings of one target hang together, and so do those of one person.

A test or an interval treats whole clusters as its units. With `FEWEST_PEOPLE` people or more, both targets and people
are drawn from larger populations (two-way clusters: figures are for new targets and new people); with fewer, figures
are for new targets, as these people see them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEWEST_SETS: Final = 10  # clusters: below it a bootstrap interval is too narrow to trust
FEWEST_PEOPLE: Final = 6  # 2^(1-6) = 0.03: with fewer, a test over people cannot reach 5 %


@dataclass(frozen=True, eq=False)
class Clusters:
    """The target, and the person where people count as drawn too, of each of c cells; intp `(c,)`, numbered from 0.

    A cell is all that one person said of one target, or, without `people`, all that anybody did.
    """

    targets: NDArray[np.intp]
    people: NDArray[np.intp] | None = None

    @property
    def target_count(self) -> int:
        """Number of targets."""
        return _count(self.targets)

    @property
    def people_count(self) -> int | None:
        """Number of people, None where they do not count as drawn."""
        return None if self.people is None else _count(self.people)

    @property
    def fewest(self) -> int:
        """The number of clusters of the rarer kind: what a test or an interval has to go by."""
        return self.target_count if self.people is None else min(self.target_count, _count(self.people))

    @property
    def smallest_p(self) -> float:
        """The smallest two-sided p-value that flipping the signs of so many clusters can give.

        >>> Clusters(np.arange(3)).smallest_p
        0.25
        """
        return min(1.0, 2.0 ** (1 - self.fewest))

    @property
    def words(self) -> str:
        """What figures with these clusters are for: "new targets"."""
        return "new targets" if self.people is None else "new targets and new people"


def cluster_rankings(targets: NDArray[np.intp], raters: Sequence[str]) -> tuple[Clusters, NDArray[np.intp]]:
    """The cells of m rankings, by `targets` `(m,)` and m names of people: clusters, and each ranking's cell `(m,)`.

    People count where every ranking names one, and there are `FEWEST_PEOPLE` or more.

    >>> clusters, cells = cluster_rankings(np.array([7, 7, 9]), ["", "", ""])
    >>> clusters.targets, cells, clusters.words
    (array([0, 1]), array([0, 0, 1]), 'new targets')
    """
    _, numbers = np.unique(targets, return_inverse=True)  # (m,)
    if not all(raters) or len(set(raters)) < FEWEST_PEOPLE:
        return Clusters(np.arange(_count(numbers))), numbers
    _, people = np.unique(np.asarray(raters), return_inverse=True)  # (m,)
    cells, cell_of = np.unique(np.stack([numbers, people]), axis=1, return_inverse=True)  # (2, c), (m,)
    return Clusters(cells[0], cells[1]), cell_of.ravel()


def _count(numbers: NDArray[np.intp]) -> int:
    return int(numbers.max()) + 1 if len(numbers) else 0
