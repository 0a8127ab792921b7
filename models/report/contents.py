"""Contents of a report: what its page, its plots and its strips of images are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.figures import Evaluation
from clpips.models.fitting.curve_points import CurvePoint
from clpips.models.fitting.rater_results import ByRater
from clpips.models.rankings.measured import MeasuredRankings


@dataclass(frozen=True, eq=False, kw_only=True)
class Report:
    """`weights` and `baseline`, float32 `(6016,)`, judged by `evaluation` on `judged`.

    `curve` may be empty, and `people`, one fit a person, None.
    `where` says what was judged: "images not seen"; `out_of_fold` is the sentence about cross-validation that stands
    above all figures of a fit. `made` says how, by name: version, command, seed, fingerprints.
    """

    title: str
    evaluation: Evaluation
    judged: MeasuredRankings
    weights: NDArray[np.float32]
    baseline: NDArray[np.float32]
    curve: Sequence[CurvePoint] = ()
    people: ByRater | None = None
    where: str = ""
    out_of_fold: str = ""
    made: Mapping[str, str] = field(default_factory=dict)
