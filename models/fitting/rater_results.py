"""Results of one fit a person: shares of choices by person and by target, and leads over a baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.figures import as_json
from clpips.models.agreement.statistic import Statistic
from clpips.models.rankings.splitting import Split

SIDES: Final = ("baseline", "own", "others")


@dataclass(frozen=True, kw_only=True)
class Line:
    """Shares of held-out choices, in [0, 1], of one person or one target: the baseline's, and of both kinds of fit.

    `judged` are a person's targets, or a target's people, that were held out. A person's own weights come from
    `learned` more rankings; `reason` says why not, where those are too few.
    """

    name: str
    judged: int
    learned: int | None = None
    baseline: float
    own: float
    others: float
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Leads:
    """By how much larger a share of choices a fit agrees with than the baseline, for three populations.

    `new_targets`: of these people; `new_people`: on these targets; `both`: new people and new targets.
    """

    new_targets: Statistic
    new_people: Statistic
    both: Statistic


@dataclass(frozen=True, eq=False, kw_only=True)
class ByRater:
    """Fits by rater: `weights` by name, fitted on all that each person said, and what was found on held-out rankings.

    `unsupported` says of whom, and why, these support no fit: their weights are the parent's.
    `own` is the lead of people's own weights (people who teach), `others` of weights that others taught (people who do
    not).
    """

    weights: Mapping[str, NDArray[np.float32]]
    unsupported: Mapping[str, str]
    people: Sequence[Line]
    targets: Sequence[Line]
    own: Leads
    others: Leads
    split: Split

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON types; what is undefined is null."""
        return {
            "held_out_on": self.split.words,
            "people": [as_json(asdict(line)) for line in self.people],
            "targets": [as_json(asdict(line)) for line in self.targets],
            "lead": {"own": as_json(asdict(self.own)), "others": as_json(asdict(self.others))},
        }
