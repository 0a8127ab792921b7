"""Figures as words: the rows that the command line and the report print of an evaluation."""

import math
from dataclasses import dataclass

from models.agreement import Statistic
from models.evaluation import Evaluation, Scores


@dataclass(frozen=True)
class Row:
    title: str
    baseline: str
    metric: str
    difference: str


def comparison_rows(result: Evaluation) -> list[Row]:
    """Shares of pairs and votes, the paper's Table 3 (Spearman) and its Table 4 (ICC), baseline beside metric."""

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
        row("pairs ordered as the majority", there.pair_agreement, here.pair_agreement, "pair_agreement", percent=True),
        row("share of votes or pairs", there.vote_agreement, here.vote_agreement, "vote_agreement", percent=True),
        Row("… a person siding with every majority", ceiling, ceiling, ""),
        row("Spearman ρ, ranks within sets pooled", there.spearman, here.spearman, "spearman"),
        row("Spearman ρ, raw distances pooled", there.spearman_distances, here.spearman_distances, None),
        row("Spearman ρ, mean within sets", there.spearman_within.mean, here.spearman_within.mean, None),
        Row("… sets where ρ is undefined", _undefined(there), _undefined(here), ""),
        row("Kendall τ-b", there.kendall, here.kendall, None),
        row("ICC(2,1)", there.icc2_1, here.icc2_1, "icc2_1"),
        row("ICC(2,k), flatters: about 2ρ/(1+ρ)", there.icc2_k, here.icc2_k, "icc2_k"),
    ]


def _undefined(scores: Scores) -> str:
    within = scores.spearman_within
    return f"{within.undefined:,} of {within.sets + within.undefined:,}"


def format_statistic(statistic: Statistic, percent: bool = False, signed: bool = False) -> str:
    """`0.54 [0.51, 0.56] p<0.001`, with what is undefined left out."""
    if math.isnan(statistic.value):
        return "–"
    text = _number(statistic.value, percent, signed)
    if not math.isnan(statistic.low):
        text += f" [{_number(statistic.low, percent, signed)}, {_number(statistic.high, percent, signed)}]"
    if not math.isnan(statistic.p):
        text += " p<0.001" if statistic.p < 0.001 else f" p={statistic.p:.2g}"
    return text


def _number(value: float, percent: bool, signed: bool) -> str:
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f} %" if percent else f"{value:{sign}.3f}"
