"""Table of an evaluation: its rows as the command line and the report print them, figures in words."""

import math
from dataclasses import dataclass

from clpips.models.agreement.evaluation import Evaluation, Scores
from clpips.models.agreement.statistic import Statistic


@dataclass(frozen=True)
class Row:
    """One statistic: the baseline's, the metric's, and the difference, as text of one or two lines each."""

    title: str
    baseline: str
    metric: str
    difference: str


def comparison_rows(result: Evaluation) -> list[Row]:
    """Shares of pairs and choices, the paper's Table 3 (Spearman) and its Table 4 (ICC), baseline beside metric."""

    def row(title: str, baseline: Statistic, metric: Statistic, difference: str | None, percent: bool = False) -> Row:
        lead = result.difference[difference] if difference else None
        return Row(
            title,
            format_statistic(baseline, percent),
            format_statistic(metric, percent),
            format_statistic(lead, percent, signed=True) if lead else "",
        )

    here, there = result.metric, result.baseline
    ceiling = "–" if math.isnan(here.vote_ceiling) else f"{100 * here.vote_ceiling:.1f} %"
    return [
        row("pairs with a majority", there.pair_agreement, here.pair_agreement, "pair_agreement", percent=True),
        row("share of choices", there.vote_agreement, here.vote_agreement, "vote_agreement", percent=True),
        Row("… the most a person gets", ceiling, ceiling, ""),
        row("ρ, ranks pooled", there.spearman, here.spearman, "spearman"),
        row("ρ, distances pooled", there.spearman_distances, here.spearman_distances, None),
        row("ρ, mean within sets", there.spearman_within.mean, here.spearman_within.mean, None),
        Row("… undefined in", _undefined(there), _undefined(here), ""),
        row("Kendall τ-b", there.kendall, here.kendall, None),
        row("ICC(2,1)", there.icc2_1, here.icc2_1, "icc2_1"),
        row("ICC(2,k)", there.icc2_k, here.icc2_k, "icc2_k"),
    ]


def _undefined(scores: Scores) -> str:
    within = scores.spearman_within
    return f"{within.undefined:,} of {within.sets + within.undefined:,}"


def format_statistic(statistic: Statistic, percent: bool = False, signed: bool = False) -> str:
    """The value with its p, and its interval on a second line; what is undefined is left out.

    >>> format_statistic(Statistic(0.712, 0.65, 0.77), percent=True)
    '71.2 %\\n[65.0, 77.0]'
    """
    if math.isnan(statistic.value):
        return "–"
    text = _number(statistic.value, percent, signed) + (" %" if percent else "")
    if not math.isnan(statistic.p):
        text += " p<0.001" if statistic.p < 0.001 else f" p={statistic.p:.2g}"
    if not math.isnan(statistic.low):
        text += f"\n[{_number(statistic.low, percent)}, {_number(statistic.high, percent)}]"
    return text


def _number(value: float, percent: bool, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f}" if percent else f"{value:{sign}.3f}"


LEGEND = (
    "Pairs: those that people order with a majority, and the metric as the majority. Choices: people's votes, or the "
    "pairs of their rankings, that the metric makes too. ρ is Spearman's. ICC(2,k) flatters: it is about 2ρ/(1 + ρ)."
)
