"""Figures of an evaluation: each metric's agreement with people, its lead over the baseline, and all of it as JSON."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from clpips.models.agreement.correlation import MeanWithin
from clpips.models.agreement.icc import cicchetti, koo_li
from clpips.models.agreement.statistic import Statistic
from clpips.models.rankings.membership import Seen

FIELDS: Final = ("value", "low", "high", "p")  # of a statistic, as JSON has it
NOTHING_SEEN: Final = Seen(rankings=0.0, images=0.0)


@dataclass(frozen=True)
class Scores:
    """One metric's agreement with people.

    `pair_agreement`: share of pairs with a majority where the metric sides with it; `vote_agreement`: share of all
    choices that it makes too, of which siding with every majority would get `vote_ceiling`. `spearman`, `kendall` and
    the ICCs are of ranks within sets, pooled, with images as items, people and metric as the two raters;
    `spearman_distances` pools raw distances over sets (the paper's section 5.1); `spearman_within` is the mean of ρ
    within sets.
    """

    name: str
    pair_agreement: Statistic
    vote_agreement: Statistic
    vote_ceiling: float
    spearman: Statistic
    spearman_distances: Statistic
    spearman_within: MeanWithin
    kendall: Statistic
    icc2_1: Statistic
    icc2_k: Statistic

    @property
    def verdicts(self) -> dict[str, str]:
        """ICC(2,1) in the words of Koo and Li, and of Cicchetti."""
        return {"koo_li": koo_li(self.icc2_1.value), "cicchetti": cicchetti(self.icc2_1.value)}


@dataclass(frozen=True)
class Evaluation:
    """A metric and a baseline on the same rankings, `difference` being the metric's lead with bootstrap intervals.

    `people` counts those whose names the rankings give. `drawn` says what figures are for: "new targets", or "new
    targets and new people"; `smallest_p` is the smallest p-value that a lead can have with so few of them. `sign_flip`
    is the headline: the p-value of the lead in ρ within sets. `metric_seen` and `baseline_seen` say how much of these
    rankings the two were fitted to.
    """

    sets: int
    targets: int
    people: int
    pairs: int
    drawn: str
    smallest_p: float
    metric: Scores
    baseline: Scores
    difference: dict[str, Statistic]
    warnings: tuple[str, ...]
    metric_seen: Seen = NOTHING_SEEN
    baseline_seen: Seen = NOTHING_SEEN

    @property
    def in_sample(self) -> str:
        """A warning, as loud as the figures, where weights were fitted to what they are judged by; or nothing."""
        return " ".join(
            f"IN SAMPLE: {scores.name} was fitted to {seen.words}, so its figures flatter it."
            for scores, seen in ((self.metric, self.metric_seen), (self.baseline, self.baseline_seen))
            if seen
        )

    @property
    def sign_flip(self) -> float:
        """p-value of the lead in ρ within sets, by sign flips of whole targets (and people)."""
        return self.difference["spearman_within"].p

    @property
    def undefined(self) -> dict[str, str]:
        """Why a statistic has no value, by its place: `metric.icc2_k`."""
        found: dict[str, str] = {}
        for side, scores in (("metric", self.metric), ("baseline", self.baseline)):
            values = {name: value for name, value in vars(scores).items() if isinstance(value, Statistic)}
            values["spearman_within"] = scores.spearman_within.mean
            found |= {f"{side}.{name}": value.why for name, value in values.items() if math.isnan(value.value)}
        return found | {
            f"difference.{name}": value.why for name, value in self.difference.items() if math.isnan(value.value)
        }

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON types; what is undefined is null, and `undefined` says why."""
        return {
            "sets": self.sets,
            "targets": self.targets,
            "people": self.people,
            "pairs": self.pairs,
            "for": self.drawn,
            "smallest_p": self.smallest_p,
            "in_sample": bool(self.in_sample),
            "seen_in_fitting": {"metric": asdict(self.metric_seen), "baseline": asdict(self.baseline_seen)},
            "metric": as_json(asdict(self.metric) | {"icc2_1_verdict": self.metric.verdicts}),
            "baseline": as_json(asdict(self.baseline) | {"icc2_1_verdict": self.baseline.verdicts}),
            "difference": as_json(
                {name: asdict(value) for name, value in self.difference.items()} | {"sign_flip_p": self.sign_flip}
            ),
            "undefined": self.undefined,
            "warnings": list(self.warnings),
        }


def as_json(value: Any) -> Any:
    """The value with null for what is undefined, and statistics without their reasons, which stand together."""
    if isinstance(value, dict):
        names = FIELDS if value.keys() >= set(FIELDS) else value
        return {name: as_json(value[name]) for name in names}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
