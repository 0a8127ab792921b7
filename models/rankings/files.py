"""JSON Lines of rankings: what people said, one ranking a line, read, checked and written:

    {"set": "t01/p07", "rater": "p07", "target": "t01.png", "candidates": ["a.png", "b.png"], "ranks": [2, 1]}
    {"set": "teflon", "target": "teflon.jpg", "candidates": ["a.jpg", "b.jpg"], "votes": [3, 1]}
    {"set": "t02/p07", "target": "t02.png", "candidates": ["a.png", "b.png", "c.png", "d.png"], "best": 3}
    {"set": "t03/p07", "target": "t03.png", "candidates": ["a.png", "b.png", "c.png", "d.png"], "top": [3, 0]}
    {"set": "7", "target": "sha256:4f…", "candidates": ["sha256:9a…", "sha256:c0…"], "z": {"aligned": "<base64>", …},
     "backbone": "<sha256>", "resolution": 256, "ranks": [2, 1]}

Paths are relative to the file. One of four fields says what people said. `ranks`: 1 is most similar, equal ranks are
ties. `votes`: how many people chose each of two candidates. `best`: the candidate at this place comes before all the
others, of which nothing is said; `top`: so do those at these places, in this order. Both are read as ranks in which the
rest is tied. A tie says nothing: it is no pair to learn from, and none to agree with. Statistics of whole orders (ρ, τ,
ICC) give ties the mean of their places, and so stay below 1 where a metric tells apart what people tied.

The last form needs no images: `z` are the candidates' channel distances from the target, by family
(`models/metric/families.py`; all of AlexNet's, all of the content network's, or both), as the service keeps them:
base64 of float16 little-endian, `(candidates, channels)` in row order, in units of 2⁻¹⁵; `target`, and `candidates`
where they are known, are then any names, equal for equal images; `backbone` (sha256 of AlexNet's file) and `resolution`
(pixels, or null for native size), where given, say what they were measured with; two backbones in a file are refused,
two resolutions are not, because people compare candidates of one ranking alone. `set`, `rater`,
`comparison` (which of the service's it was) and `at` (when it was said, ISO 8601) may be left out; other fields are
ignored.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.families import ALL_NETWORKS, Networks
from clpips.models.metric.packing import known_networks
from clpips.models.rankings.orders import OrderError, ranks_of_top
from clpips.models.rankings.stored_z import decode_z, encode_z

FEWEST = 2  # candidates
MOST_VOTES = 1e9  # for one candidate: more than there are people to ask, and sums of them stay numbers
SAID = ("ranks", "votes", "best", "top")  # ways of saying what people said


class RankingsError(ValueError):
    """Rankings that cannot be used. `problems` names each of them; the message has them all, one a line."""

    def __init__(self, summary: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([summary, *(f"  {problem}" for problem in problems)]))


@dataclass(frozen=True, eq=False)
class Ranking:
    """One person's order of k candidates, or the votes of several on two, for one target.

    `target` and `candidates` are paths; with `z`, float16 `(k, known)` as `pack_z` has it, they are names, and there
    may be no candidates. Either `ranks` or `votes`, k numbers, is there. `comparison` is the service's id of what was
    ordered, `at` the moment, with its time zone. `part_of` and `places` say of which other ranking, and of which of its
    candidates, this one is.
    """

    target: str
    candidates: tuple[str, ...] = ()
    ranks: tuple[float, ...] | None = None
    votes: tuple[float, ...] | None = None
    set: str = ""
    rater: str = ""
    comparison: str = ""
    at: datetime | None = None
    z: NDArray[np.float16] | None = None
    backbone: str | None = None
    resolution: int | None = None
    line: int = 0
    part_of: "Ranking | None" = None
    places: tuple[int, ...] = ()

    @property
    def order(self) -> NDArray[np.float64]:
        """The people's order as ranks, `(k,)`, 1 most similar: with votes, the majority's."""
        return np.asarray(self.ranks if self.ranks is not None else [-vote for vote in self.votes or ()], np.float64)

    @property
    def images(self) -> tuple[str, ...]:
        """The paths that the ranking names, the target first; none with `z`."""
        return () if self.z is not None else (self.target, *self.candidates)

    @property
    def names(self) -> tuple[str, ...]:
        """Of all its images, the target's first; none where the candidates' are not known."""
        return (self.target, *self.candidates) if self.candidates else ()

    @property
    def networks(self) -> Networks:
        """Those whose channel distances are known: all of an image's, those that were run with `z`."""
        return ALL_NETWORKS if self.z is None else known_networks(self.z.shape[1])

    def part(self, chosen: Sequence[int]) -> "Ranking":
        """The ranking of some of its candidates, by their places."""
        places = list(chosen)
        return replace(
            self,
            candidates=tuple(self.candidates[place] for place in places),
            ranks=None if self.ranks is None else tuple(self.ranks[place] for place in places),
            votes=None if self.votes is None else tuple(self.votes[place] for place in places),
            z=None if self.z is None else self.z[places],
            part_of=self,
            places=tuple(places),
        )


class _Line(msgspec.Struct):
    target: str
    candidates: list[str] | None = None
    ranks: list[float] | None = None
    votes: list[float] | None = None
    best: int | None = None
    top: list[int] | None = None
    set: str = ""
    rater: str = ""
    comparison: str = ""
    at: datetime | None = None
    z: dict[str, str] | None = None
    backbone: str | None = None
    resolution: int | None = None


_DECODER = msgspec.json.Decoder(_Line)


def read_rankings(path: Path) -> list[Ranking]:
    """Read a ranking file. Raises `RankingsError`, which names every bad line with its field and the reason.

    Its paths come back joined to the file's folder. Images are not opened. `OSError` where the file cannot be read.
    """
    rankings, problems = [], []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(b"\xef\xbb\xbf").strip()
            if not content:
                continue
            try:
                rankings.append(_ranking(_DECODER.decode(content), path.parent, number))
            except RecursionError:
                problems.append(f"line {number}: it is nested too deeply to be a ranking")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                problems.append(f"line {number}: {_plain(error)}")
            except ValueError as error:
                problems.append(f"line {number}: {error}")
    problems += _mixtures(rankings)
    if problems:
        raise RankingsError(f"{path}: {len(problems)} of its lines cannot be used", problems)
    if not rankings:
        raise RankingsError(f"{path} holds no ranking", ["expected one JSON object a line"])
    return rankings


def format_ranking(ranking: Ranking) -> str:
    """One line of a ranking file, without the line break; paths stand in it as they are.

    >>> format_ranking(Ranking("t.png", ("a.png", "b.png"), votes=(3, 1)))
    '{"target": "t.png", "candidates": ["a.png", "b.png"], "votes": [3, 1]}'
    """
    at = "" if ranking.at is None else ranking.at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    fields: dict[str, Any] = {"set": ranking.set, "rater": ranking.rater, "comparison": ranking.comparison, "at": at}
    fields = {name: value for name, value in fields.items() if value}
    fields["target"] = ranking.target
    if ranking.candidates:
        fields["candidates"] = list(ranking.candidates)
    if ranking.z is not None:
        fields["z"] = encode_z(ranking.z)
        if ranking.backbone:
            fields |= {"backbone": ranking.backbone, "resolution": ranking.resolution}
    for name, numbers in (("ranks", ranking.ranks), ("votes", ranking.votes)):
        if numbers is not None:
            fields[name] = [int(number) if float(number).is_integer() else number for number in numbers]
    return json.dumps(fields, ensure_ascii=False)


def _ranking(line: _Line, folder: Path, number: int) -> Ranking:
    said = [name for name in SAID if getattr(line, name) is not None]
    if len(said) != 1:
        raise ValueError(f"{', '.join(SAID)}: expected exactly one of them")
    if line.candidates is None and line.z is None:
        raise ValueError("candidates, z: expected at least one of them")
    if not line.target:
        raise ValueError("target: expected a name, it is empty")
    (field,) = said
    numbers = _numbers(line, field)
    candidates = len(numbers) if line.candidates is None else len(line.candidates)
    if candidates < FEWEST:
        raise ValueError(f"{field if line.candidates is None else 'candidates'}: expected {FEWEST} or more")
    if len(numbers) != candidates:
        raise ValueError(f"{field}: expected {candidates} numbers, one a candidate, {len(numbers)} came")
    if not all(math.isfinite(value) for value in numbers):
        raise ValueError(f"{field}: expected finite numbers")
    if field == "ranks" and min(numbers) < 1:
        raise ValueError(f"ranks: 1 is the most similar, {min(numbers):g} came")
    if field == "votes":
        if candidates != FEWEST:
            raise ValueError(f"votes: they are for two candidates, here are {candidates}; give ranks")
        if min(numbers) < 0 or not any(numbers):
            raise ValueError(f"votes: expected counts ≥ 0 and at least one vote, {numbers} came")
        if max(numbers) > MOST_VOTES:
            raise ValueError(f"votes: expected no more than {MOST_VOTES:g} for a candidate, {max(numbers):g} came")
    common: dict[str, Any] = {
        "votes" if field == "votes" else "ranks": tuple(numbers),
        "set": line.set,
        "rater": line.rater,
        "comparison": line.comparison,
        "at": line.at if line.at is None or line.at.tzinfo is not None else line.at.replace(tzinfo=UTC),
        "line": number,
    }
    names = line.candidates or []
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice and line.z is None:  # with `z` the same image may have been sent twice
        raise ValueError(f"candidates: {', '.join(twice)} more than once")
    if any("\0" in name for name in (line.target, *names)):
        raise ValueError("target, candidates: a name has a NUL, which no file can have")
    if not all(names):
        raise ValueError("candidates: expected names, one is empty")
    if line.z is not None:
        z = decode_z(line.z, candidates)
        return Ranking(line.target, tuple(names), z=z, backbone=line.backbone, resolution=line.resolution, **common)
    return Ranking(str(folder / line.target), tuple(str(folder / name) for name in names), **common)


def _numbers(line: _Line, field: str) -> Sequence[float]:
    """Ranks, or votes, of the candidates from the field that says them."""
    if field == "votes":
        return line.votes or []
    if field == "ranks":
        return line.ranks or []
    if line.candidates is None:
        raise ValueError(f"{field}: it names candidates by their places, and needs `candidates`")
    top = [line.best] if line.best is not None else line.top or []
    try:
        return ranks_of_top(top, len(line.candidates))
    except OrderError as error:
        raise ValueError(f"{field}: {error}") from error


def name_resolution(resolution: int | None) -> str:
    """As `--resolution` takes it.

    >>> name_resolution(256), name_resolution(None)
    ('256', 'native')
    """
    return "native" if resolution is None else str(resolution)


def _mixtures(rankings: Sequence[Ranking]) -> list[str]:
    """Channel distances of two backbones do not compare."""
    measured = [ranking for ranking in rankings if ranking.z is not None and ranking.backbone]
    return [
        f"line {ranking.line}: backbone: measured with {(ranking.backbone or '')[:12]}…, line {measured[0].line} with "
        f"{(measured[0].backbone or '')[:12]}…; they do not compare"
        for ranking in measured
        if ranking.backbone != measured[0].backbone
    ]


def _plain(error: Exception) -> str:
    """msgspec's message with the field in front: "Expected `array`, got `int` - at `$.ranks`" → "ranks: expected …"."""
    message, _, place = str(error).partition(" - at `$")
    field = place.rstrip("`").lstrip(".")
    return f"{field}: {message[0].lower()}{message[1:]}" if field else message
