"""What the service answers about profiles: frozen dataclasses. docs/profiles.md tells what the fields mean."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Interval:
    """An estimate, with its 95 % confidence interval where there is one."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Agreement:
    """How well distances agree with the person's rankings."""

    pair_agreement: float  # share of the ordered pairs that the distances order alike
    spearman: float | None = None
    icc2_k: Interval | None = None


@dataclass(frozen=True)
class Fit:
    """What a fit was made of, and what it reached on what it had not seen."""

    recipe: str
    rankings: int
    targets: int
    pairs: int
    held_out: str
    agreement: Agreement
    parent: Agreement
    lpips: Agreement
    reason: str
    in_sample: bool = False


@dataclass(frozen=True)
class Version:
    """One version of a profile."""

    number: int
    origin: str
    status: str
    created: datetime
    replaced: int | None = None
    fit: Fit | None = None


@dataclass(frozen=True)
class ProfileSummary:
    """A profile in a list."""

    name: str
    parent: str
    version: int  # the one in use
    rankings: int  # that count
    created: datetime


@dataclass(frozen=True)
class ProfileList:
    """Profiles by name, and the weights that ship with the service."""

    profiles: tuple[ProfileSummary, ...]
    shipped: tuple[str, ...]
    next: str | None  # there are more: ask again with `after` set to this


@dataclass(frozen=True)
class ProfileDetail(ProfileSummary):
    """A profile with its versions, the newest first."""

    layer_shares: tuple[float, ...]
    family_shares: dict[str, float]
    lpips_layer_shares: tuple[float, ...]
    waiting: str | None
    unlearned: int
    versions: tuple[Version, ...]
    next: int | None  # there are older ones: ask again with `before` set to this


@dataclass(frozen=True)
class Taught:
    """What a fit changed."""

    profile: str
    version: int  # the one in use now
    taken: bool  # whether a new version was taken into use
    reason: str
    waiting: str | None
    proposed: int | None  # a version that was made but not taken: `rollback` takes it
    before: float | None
    after: float | None
    lpips: float | None
    rankings: int
    pairs: int | None


@dataclass(frozen=True)
class TaughtRanking(Taught):
    """What a ranking changed."""

    ranking: int  # its number
    guessed: float  # share of its pairs that the version before had ordered as the person does
    unknown: tuple[str, ...]  # families of channels that it teaches nothing of


@dataclass(frozen=True)
class Forgotten(Taught):
    """What forgetting a ranking changed."""

    forgotten: int


@dataclass(frozen=True)
class RankingInfo:
    """What is known of a ranking that a profile was taught."""

    profile: str
    ranking: int
    target: str
    candidates: tuple[str, ...]
    ranks: tuple[int, ...]
    rater: str
    comparison: str | None
    resolution: int | None
    at: datetime
    guessed: float


@dataclass(frozen=True)
class Suggestion:
    """Which two of a comparison's candidates to ask about next."""

    comparison: str
    target: str
    pair: tuple[int, ...] | None  # their places; None where no order would teach anything
    candidates: tuple[str, ...]  # the two by name
    reason: str


@dataclass(frozen=True)
class Deleted:
    """What was removed."""

    deleted: str
    versions: int
    rankings: int
