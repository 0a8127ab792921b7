"""What the service answers about its sessions: frozen dataclasses. docs/sessions.md tells what the fields mean."""

from dataclasses import dataclass
from datetime import datetime

from clpips_client.profile_replies import Forgotten, TaughtRanking


@dataclass(frozen=True)
class SessionProfile:
    """Whose weights order the candidates."""

    name: str
    version: int


@dataclass(frozen=True)
class SessionTarget:
    """The target of a session."""

    sha256: str  # its name, `sha256:…`
    thumbnail: bool  # whether there is a picture of it to show


@dataclass(frozen=True)
class SessionCandidate:
    """A candidate of a session."""

    index: int  # the order of arrival, for ever
    sha256: str
    prompt: str | None
    step: int | None
    distance: float
    rank: int  # 1 is the most similar
    families: dict[str, float]  # each family's share of the distance
    thumbnail: bool


@dataclass(frozen=True)
class SessionOrder:
    """What a person has said of the candidates."""

    ranks: dict[str, int]  # by index, in decimal; 1 is the most similar, equal ranks are ties
    kind: str  # `order`, `best` or `top`
    at: datetime


@dataclass(frozen=True)
class SessionState:
    """A session as it is now."""

    session: str
    title: str
    profile: SessionProfile
    resolution: int | None
    revision: int
    created: datetime
    expires: datetime
    target: SessionTarget
    mask: str | None  # by its name; within it the candidates are compared
    candidates: tuple[SessionCandidate, ...]  # by index
    ranking: tuple[int, ...]  # their indices, the most similar first
    order: SessionOrder | None
    agreement: float | None  # Kendall's τ of the distances' order and the person's


@dataclass(frozen=True)
class SessionMade:
    """A session that was made, and what opens it."""

    session: str
    url: str  # the page that shows it, for a person: whoever has it may work on the session
    token: str
    expires: datetime


@dataclass(frozen=True)
class SessionTaught:
    """A session after a person's order, and what that taught its profile."""

    state: SessionState
    taught: TaughtRanking | None
    reason: str | None  # why nothing was taught


@dataclass(frozen=True)
class SessionForgotten:
    """A session without a person's order, and what forgetting it changed."""

    state: SessionState
    forgotten: Forgotten | None
    reason: str | None  # why nothing was forgotten


@dataclass(frozen=True)
class SessionSuggestion:
    """Which two of a session's candidates to ask about next."""

    session: str
    pair: tuple[int, ...] | None  # their indices, the lower first; None where no order would teach anything
    reason: str
