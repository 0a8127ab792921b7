"""Table of an evaluation: its rows as the command line and the report print them, figures in words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import PurePath
from typing import Final

from clpips.models.agreement.correlation import MeanWithin
from clpips.models.agreement.figures import Evaluation, Scores
from clpips.models.agreement.statistic import Statistic

CHOICES: Final = "Choices"
TABLE_3: Final = "Table 3: Spearman's rank correlation with people"
TABLE_4: Final = "Table 4: intraclass correlation with people"


@dataclass(frozen=True)
class Row:
    """One statistic: the baseline's, the metric's, and the difference, as text of one to three lines each.

    `group` is the table that it belongs to, by the names of the paper's tables. `statistics` are the three as numbers,
    None where there is no difference; empty where the row has none.
    """

    group: str
    title: str
    baseline: str
    metric: str
    difference: str
    statistics: tuple[Statistic | None, ...] = ()


def comparison_rows(result: Evaluation) -> list[Row]:
    """Shares of pairs and choices, the paper's Table 3 (Spearman) and its Table 4 (ICC), baseline beside metric."""
    here, there = result.metric, result.baseline

    def row(group: str, title: str, name: str, percent: bool = False) -> Row:
        lead = result.difference.get(name)
        sides = (_statistic(there, name), _statistic(here, name))
        difference = format_statistic(lead, percent, signed=True) if lead else ""
        words = [format_statistic(side, percent) for side in sides]
        return Row(group, title, words[0], words[1], difference, (*sides, lead))

    ceiling = "–" if math.isnan(here.vote_ceiling) else f"{100 * here.vote_ceiling:.1f} %"
    return [
        row(CHOICES, "pairs with a majority", "pair_agreement", percent=True),
        row(CHOICES, "share of choices", "vote_agreement", percent=True),
        Row(CHOICES, "… the most a person gets", ceiling, ceiling, ""),
        row(TABLE_3, "ρ, ranks pooled", "spearman"),
        row(TABLE_3, "ρ, distances pooled", "spearman_distances"),
        row(TABLE_3, "ρ, mean within sets", "spearman_within"),
        Row(TABLE_3, "… undefined in", _undefined(there), _undefined(here), ""),
        row(TABLE_3, "Kendall τ-b", "kendall"),
        row(TABLE_4, "ICC(2,1)", "icc2_1"),
        row(TABLE_4, "ICC(2,k)", "icc2_k"),
    ]


def undefined_lines(result: Evaluation) -> list[str]:
    """A sentence for each reason why figures are undefined, with the figures' names."""
    by_reason: dict[str, list[str]] = {}
    for place, why in result.undefined.items():
        side, _, name = place.partition(".")
        of = {"metric": result.metric.name, "baseline": result.baseline.name}.get(side, "the difference")
        by_reason.setdefault(why, []).append(f"{name} of {of}")
    return [f"undefined: {why} ({', '.join(names)})" for why, names in by_reason.items()]


def headline(result: Evaluation) -> str:
    """What the evaluation comes to: the lead in ρ within sets, and whether chance alone could have given it."""
    lead = result.difference["spearman_within"]
    of = (
        f"{'in sample, ' if result.in_sample else ''}{result.metric.name} against {result.baseline.name}, ρ within sets"
    )
    if math.isnan(lead.value):
        return f"{of}: undefined, {lead.why}"
    clusters = f"{result.targets:,} targets" + (f" and {result.people:,} people" if "people" in result.drawn else "")
    if math.isnan(lead.p):
        return f"{of}: {lead.value:+.3f}; one target has no p-value"
    smallest = f", the smallest that so few can give is {result.smallest_p:.2g}" if result.smallest_p > 0.05 else ""
    return f"{of}: {lead.value:+.3f}, {format_p(lead.p)} (sign-flip test over {clusters}{smallest})"


def brief(names: Sequence[str]) -> list[str]:
    """Names of files without the folders that all of them lie in.

    >>> brief(["/data/boats/1.png", "/data/cars/1.png"])
    ['boats/1.png', 'cars/1.png']
    """
    try:
        shared = commonpath([PurePath(name).parent for name in names])
    except ValueError:  # no names; or hashes beside paths, which share nothing
        return list(names)
    return [name.removeprefix(f"{shared}/") if shared else name for name in names]


def _statistic(scores: Scores, name: str) -> Statistic:
    value = getattr(scores, name)
    return value.mean if isinstance(value, MeanWithin) else value


def _undefined(scores: Scores) -> str:
    within = scores.spearman_within
    return f"{within.undefined:,} of {within.sets + within.undefined:,}"


def format_statistic(statistic: Statistic, percent: bool = False, signed: bool = False) -> str:
    """The value, its interval and its p-value, a line each; what there is not is left out.

    >>> format_statistic(Statistic(0.712, 0.65, 0.77), percent=True)
    '71.2 %\\n[65.0, 77.0]'
    """
    if math.isnan(statistic.value):
        return "undefined"
    lines = [_number(statistic.value, percent, signed) + (" %" if percent else "")]
    if not math.isnan(statistic.low):
        lines.append(f"[{_number(statistic.low, percent)}, {_number(statistic.high, percent)}]")
    if not math.isnan(statistic.p):
        lines.append(format_p(statistic.p))
    return "\n".join(lines)


def format_p(p: float) -> str:
    """A p-value in words.

    >>> format_p(0.3333), format_p(0.0004)
    ('p=0.33', 'p<0.001')
    """
    return "p<0.001" if p < 0.001 else f"p={p:.2g}"


def _number(value: float, percent: bool, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f}" if percent else f"{value:{sign}.3f}"


LEGEND = (
    "Pairs: those that people order with a majority, and the metric as the majority. Choices: people's votes, or the "
    "pairs of their rankings, that the metric makes too. ρ is Spearman's. ICC(2,k) flatters: it is about 2ρ/(1 + ρ). "
    "p of one metric: permutations of its distances within targets; p of a difference: sign flips of whole targets "
    "(and people); both two-sided. In brackets 95 % intervals by bootstrap over the same."
)
