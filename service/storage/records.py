"""Records: what is kept, as plain values that outlive their transaction. The rows they come from stay in this room."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Origin = Literal["created", "fitted", "imported", "reset"]


@dataclass(frozen=True)
class TenantQuota:
    """How many profiles and rankings a tenant may keep at most."""

    profiles: int
    rankings: int


@dataclass(frozen=True)
class Profile:
    """A person's, team's or task's weights: which version is in use, and which rankings count for the next."""

    id: UUID
    tenant: str
    name: str
    parent: str  # whose weights it began with
    backbone: str  # the fingerprint that its weights and rankings belong to
    base_version: int  # where fits start from
    current_version: int  # what requests are answered with
    latest_version: int
    rankings: int  # that are kept: not replaced by a later order of the same comparison, not forgotten, not reset
    latest_ranking: int  # the last number that was given out; no number is used twice
    fitted_ranking: int  # fits have considered the rankings up to this one; 0 again once one of them has gone
    waiting: str | None  # why the newest fit was not taken into use, for a person; none where it was
    epoch: int  # one more whenever a fit that is under way must begin again
    created_at: datetime


@dataclass(frozen=True, eq=False)
class NewVersion:
    """Weights to be kept as a version."""

    weights: NDArray[np.float32]  # (6016,)
    origin: Origin
    resolution: int | None  # pixels a side; none is native size
    report: dict[str, Any]


@dataclass(frozen=True)
class Version:
    """How a version of a profile came to be; without its weights, which lists have no use for."""

    number: int
    origin: Origin
    taken: bool  # whether it was taken into use when it was made; else it was proposed
    replaced: int | None  # the version in use when it was made
    superseded: bool  # a ranking that it learned from has been forgotten or replaced
    resolution: int | None  # pixels a side; none is native size
    report: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, eq=False)
class WeighedVersion(Version):
    """A version with its weights."""

    weights: NDArray[np.float32]  # (6016,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Judgment:
    """What a person said of n candidates of a target."""

    ranks: Sequence[int]  # (n,) 1 is the most similar; equal ranks are ties
    rater: str
    comparison: str | None  # of the `/rank` that was re-ordered; a later order of it replaces this
    target: str  # sha256
    candidates: Sequence[str]  # (n,) sha256
    resolution: int | None
    guessed: float  # share of its ordered pairs that the weights then in use had ordered alike


@dataclass(frozen=True, eq=False, kw_only=True)
class NewRanking(Judgment):
    """A ranking to be kept: what a person said, and what the candidates' channel distances are."""

    channel_distances: NDArray[np.float16]  # (n, known), packed


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedRanking(Judgment):
    """A ranking that is kept, without its channel distances: its number within its profile, and since when."""

    number: int
    created_at: datetime


@dataclass(frozen=True, eq=False, kw_only=True)
class KeptRanking(JudgedRanking, NewRanking):
    """A ranking that is kept."""


@dataclass(frozen=True)
class Receipt:
    """What became of a ranking that was to be kept. `repeated`: it was kept before, under this number."""

    profile: Profile  # as it is now
    number: int
    guessed: float  # as it was when the ranking was first kept
    repeated: bool


@dataclass(frozen=True, eq=False)
class Comparison:
    """Candidates compared with a target."""

    tenant: str
    channel_distances: NDArray[np.float16]  # (n, known), packed
    target: str  # sha256
    candidates: Sequence[str]  # (n,) sha256
    resolution: int | None
    backbone: str
