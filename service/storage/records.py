"""Records: what is kept, as plain values that outlive their transaction. The rows they come from stay in this room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Origin = Literal["created", "fitted", "imported", "reset"]
Change = Literal["created", "candidates", "order", "profile"]
SaidAs = Literal["order", "best", "top"]


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
    masked: bool = False  # within a mask, which is not kept: what another network says cannot be added


@dataclass(frozen=True)
class SessionOrder:
    """What a person said of a session's candidates, when they said it, and in which way."""

    ranks: Mapping[int, int]  # of candidates' indices; 1 is the most similar, equal ranks are ties
    kind: SaidAs
    at: datetime

    @classmethod
    def from_column(cls, column: Mapping[str, Any]) -> Self:
        ranks = {int(index): int(rank) for index, rank in column["ranks"].items()}
        return cls(ranks, column["kind"], datetime.fromisoformat(column["at"]))

    def to_column(self) -> dict[str, Any]:
        ranks = {str(index): rank for index, rank in self.ranks.items()}
        return {"ranks": ranks, "kind": self.kind, "at": self.at.isoformat()}


@dataclass(frozen=True)
class Session:
    """One refinement: a target, whose candidates come one after the other, and what a person says of them."""

    id: str
    tenant: str
    key: str  # the name of the API key that made it
    scopes: frozenset[str]  # what its token may do
    token: str  # sha256 of it
    title: str
    profile: str  # whose weights order the candidates
    profile_version: int  # in use when the session last changed
    resolution: int | None  # pixels a side; none is native size
    backbone: str
    target: str  # sha256
    candidates: int  # how many there are
    revision: int  # one more with each change
    change: Change  # the newest
    created_at: datetime
    expires_at: datetime
    order: SessionOrder | None
    mask: str | None = None  # sha256 of the file; none where all of the target counts


@dataclass(frozen=True, eq=False)
class SessionCandidate:
    """A candidate of a session. `index` is its place, in the order in which they came."""

    index: int
    image: str  # sha256
    prompt: str | None
    step: int | None
    channel_distances: NDArray[np.float16]  # (known,), packed, from the session's target


@dataclass(frozen=True)
class Revision:
    """How far a session has come."""

    number: int
    change: Change
