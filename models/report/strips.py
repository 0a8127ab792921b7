"""Strips of images in three orders: as people, the baseline and the metric order them, in three exemplary sets."""

import base64
import html
import io
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from clpips.models.agreement.correlation import within_spearman
from clpips.models.images.decoding import decode
from clpips.models.images.errors import ImageError
from clpips.models.report.contents import Report

THUMBNAIL: Final = 112  # pixels
STRIP: Final = 12  # images of a set that are shown


def strips(report: Report) -> list[str]:
    """The best, the median and the worst set by ρ, as rows of images; none where rankings hold no images."""
    scored = []
    for index, (ranking, rows) in enumerate(zip(report.judged.rankings, report.judged.rows_of, strict=True)):
        if ranking.z is None:
            rho = within_spearman([ranking.order], [report.judged.rows[rows].astype(np.float64) @ report.weights])[0]
            if not np.isnan(rho):
                # Of pairs, whose ρ is 1 or −1, those come first on which people are surest.
                votes = ranking.votes or (1.0, 0.0)
                scored.append((float(rho) * abs(votes[0] - votes[1]), len(rows), float(rho), index))
    if not scored:
        return []
    largest = max(size for _, size, _, _ in scored)  # long rankings show more than pairs
    ordered = [(rho, index) for _, size, rho, index in sorted(scored) if 2 * size >= largest]
    chosen = {"best": ordered[-1], "median": ordered[len(ordered) // 2], "worst": ordered[0]}
    head = "<h2>Images in the order of people, of the baseline and of the metric</h2><p>Most similar first.</p>"
    return [head, *(_strip(report, title, rho, index) for title, (rho, index) in chosen.items())]


def _strip(report: Report, title: str, rho: float, index: int) -> str:
    ranking, rows = report.judged.rankings[index], report.judged.rows_of[index]
    z = report.judged.rows[rows].astype(np.float64)  # (k, c)
    said, unit = (ranking.votes, "votes") if ranking.ranks is None else (ranking.ranks, "rank")
    by_baseline, by_metric = z @ report.baseline, z @ report.weights  # (k,)
    orders = [
        ("people", ranking.order, np.asarray(said), unit),
        (report.evaluation.baseline.name, by_baseline, by_baseline, ""),
        (report.evaluation.metric.name, by_metric, by_metric, ""),
    ]
    target = f'<figure class="target">{_thumbnail(ranking.target)}target</figure>'
    lines = []
    for name, keys, shown, unit in orders:
        figures = "".join(
            f"<figure>{_thumbnail(ranking.candidates[place])}{_caption(shown[place], unit)}</figure>"
            for place in np.argsort(keys, kind="stable")[:STRIP]
        )
        lines.append(f'<div class="strip"><span>{html.escape(name)}</span>{target}{figures}</div>')
    label = html.escape(ranking.set or Path(ranking.target).stem)
    return f"<h3>{title}: {label}, ρ = {rho:.2f}</h3>{''.join(lines)}"


def _caption(value: float, unit: str) -> str:
    return f"{unit} {value:g}" if unit else f"{value:.3f}"


def _thumbnail(path: str) -> str:
    try:
        image = Image.fromarray(decode(Path(path).read_bytes()))
    except (OSError, ImageError):
        return "<img alt='no longer there'>"
    image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{content}" alt="{html.escape(Path(path).stem, quote=True)}">'
