"""The summary of a run: every figure beside its bar, how each step ended, and whether all is well; text and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from loadtest.device.rows import Row, read_rows
from loadtest.device.running import Outcome


def write_summary(folder: Path, rows: Path, outcomes: Sequence[Outcome]) -> str:
    """Write `summary.json` and `summary.txt` into the folder, whole or not at all; the text."""
    found = read_rows(rows)
    text = table(found, outcomes)
    whole = {
        "steps": [asdict(one) for one in outcomes],
        "rows": [{**asdict(row), "holds": row.holds} for row in found],
    }
    for name, content in (("summary.json", json.dumps(whole, indent=1)), ("summary.txt", text)):
        part = folder / f"{name}.part"
        part.write_text(content + "\n", encoding="utf-8")
        part.replace(folder / name)
    return text


def table(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> str:
    """Lines for people: of each step its figures, then how it ended."""
    lines = []
    for outcome in outcomes:
        lines.append(f"{outcome.name}: {outcome.title}")
        lines += [f"  {_line(row)}" for row in rows if row.step == outcome.name]
        reason = f", {outcome.reason}" if outcome.reason else ""
        lines.append(f"  -- {outcome.state} in {outcome.seconds:.1f} s{reason}")
    judged = [row for row in rows if row.holds is not None]
    missed = [row for row in judged if not row.holds]
    lines.append(
        f"steps: {_counts(outcomes)}; bars: {len(judged) - len(missed)} of {len(judged)} held"
        + "".join(f"\n  missed: {_line(row)}" for row in missed)
    )
    return "\n".join(lines)


def failed(outcomes: Sequence[Outcome]) -> bool:
    """Whether a step did not end well. A figure below its bar is no failure of the step that found it."""
    return any(one.state in {"failed", "timed out"} for one in outcomes)


def _counts(outcomes: Sequence[Outcome]) -> str:
    states = [one.state for one in outcomes]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "none"


def _line(row: Row) -> str:
    spread = f" ({row.low:,.4g} to {row.high:,.4g})" if row.low is not None and row.high is not None else ""
    bars = [f"≥ {row.least:,g}" for _ in range(row.least is not None)]
    bars += [f"≤ {row.most:,g}" for _ in range(row.most is not None)]
    verdict = f"  [bar {' and '.join(bars)}: {'held' if row.holds else 'MISSED'}]" if bars else ""
    note = f"  {row.note}" if row.note else ""
    unit = f" {row.unit}" if row.unit else ""
    return f"{row.what}: {row.value:,.5g}{unit}{spread}{verdict}{note}"
