"""How far a job is, in numbers that can be shown."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

COMMONEST: Final = 10


@dataclass
class Progress:
    """What is done of a job; what was there before this run counts."""

    stage: str = "planning"  # then "scoring", then "done"
    rows: int = 0
    all_rows: int = 0
    pairs: int = 0
    all_pairs: int = 0
    parts: int = 0
    all_parts: int = 0
    bad_rows: int = 0  # with an error
    images: int = 0  # embedded in this run
    all_images: int = 0  # distinct ones of the table
    pairs_here: int = 0  # compared in this run
    not_spilled: int = 0  # features that had no room on the disk, and were computed again
    errors: Counter[str] = field(default_factory=Counter)  # how many pairs have each
    started: float = field(default_factory=time.monotonic)
    scoring_since: float = 0.0

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.started

    @property
    def images_per_second(self) -> float:
        return self._rate(self.images)

    @property
    def pairs_per_second(self) -> float:
        return self._rate(self.pairs_here)

    @property
    def seconds_left(self) -> float | None:
        """At the pace until now; None where there is none yet."""
        return (self.all_pairs - self.pairs) / self.pairs_per_second if self.pairs_here else None

    def commonest(self) -> list[tuple[str, int]]:
        """The ten commonest errors, and how many pairs have each."""
        return self.errors.most_common(COMMONEST)

    def as_json(self) -> dict[str, Any]:
        left = self.seconds_left
        return {
            "stage": self.stage,
            "rows": self.rows,
            "all_rows": self.all_rows,
            "pairs": self.pairs,
            "all_pairs": self.all_pairs,
            "parts": self.parts,
            "all_parts": self.all_parts,
            "rows_with_errors": self.bad_rows,
            "images_embedded": self.images,
            "distinct_images": self.all_images,
            "images_per_second": round(self.images_per_second, 1),
            "pairs_per_second": round(self.pairs_per_second, 1),
            "seconds": round(self.seconds, 1),
            "seconds_left": None if left is None else round(left),
        }

    def _rate(self, count: int) -> float:
        seconds = time.monotonic() - self.scoring_since if self.scoring_since else 0.0
        return count / seconds if seconds else 0.0


Report = Callable[[Progress], None]
