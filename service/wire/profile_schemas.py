"""Wire contract of profiles: what a person's tool sends to teach one, and what it is told."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from clpips.models.metric.backbone import DEFAULT_RESOLUTION, MIN_SIDE
from clpips.service.wire.schemas import Candidates, FamilyShares, Image, ImageName, LayerShares

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}"  # as `service/storage/reading.py's NAME`
NO_CONTROLS = r"^[^\x00-\x1f\x7f]*"
MAX_INTEGER = 2**31 - 1  # what a database column holds


def whole(pattern: str) -> dict[str, Any]:
    """A pattern for a whole text: Python's `$` also lies before a line feed at the end, JSON Schema's does not."""
    return {"pattern": pattern + r"\Z", "extra_json_schema": {"pattern": pattern + "$"}}


NewName = Annotated[
    str,
    Meta(
        description="Letters, digits and `. _ @ -`, at most 128.",
        examples=["ada"],
        **whole(NAME_PATTERN),
    ),
]
ORDER = "The candidates' indices, the most similar first; each exactly once."
RANKS = "A rank for each candidate, 1 for the most similar; equal ranks are ties."
Order = Annotated[
    Annotated[list[Annotated[int, Meta(ge=0, le=MAX_INTEGER)]], Meta(min_length=2)] | None, Meta(description=ORDER)
]
Ranks = Annotated[
    Annotated[list[Annotated[int, Meta(ge=1, le=MAX_INTEGER)]], Meta(min_length=2)] | None, Meta(description=RANKS)
]
OrderText = Annotated[str, Meta(description=ORDER + " As text: `3,0,1,2`.")]
BEST = (
    "The index of the candidate that stands out as the most similar. Of the rest nothing is said, not even that they "
    "are alike."
)
Best = Annotated[Annotated[int, Meta(ge=0, le=MAX_INTEGER)] | None, Meta(description=BEST)]
TOP = (
    "Indices of the candidates that come before all the others, the most similar first; of the others nothing is said."
)
Top = Annotated[
    Annotated[list[Annotated[int, Meta(ge=0, le=MAX_INTEGER)]], Meta(min_length=1)] | None, Meta(description=TOP)
]
BestText = Annotated[int, Meta(ge=0, le=MAX_INTEGER, description=BEST)]
TopText = Annotated[str, Meta(description=TOP + " As text: `3,0`.")]
RanksText = Annotated[str, Meta(description=RANKS + " As text: `2,1,1,3`.")]
COMPARISON = "The id that `/rank` answered; in place of the images."
ComparisonId = Annotated[str, Meta(max_length=64)]
Rater = Annotated[
    str,
    Meta(
        max_length=128,
        description="Who ordered them, where several people teach one profile.",
        **whole(NO_CONTROLS),
    ),
]
Share = Annotated[float, Meta(ge=0, le=1)]


class NewProfile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A profile to be made."""

    name: NewName
    parent: Annotated[str, Meta(description="Whose weights it begins with: shipped ones, or a profile of yours.")] = (
        "balanced"
    )


class RankingOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a posted ranking may say beside its order and what it is of."""

    rater: Rater = ""
    resolution: Annotated[
        Annotated[int, Meta(ge=MIN_SIDE)] | None,
        Meta(description="The scoring resolution of images that are sent; `null` scores at native size."),
    ] = DEFAULT_RESOLUTION


class RankingFields(RankingOptions, forbid_unknown_fields=True, kw_only=True):
    """What a person says of candidates: exactly one of `order`, `ranks`, `best` and `top`."""

    comparison: Annotated[ComparisonId | None, Meta(description=COMPARISON)] = None
    order: Order = None
    ranks: Ranks = None
    best: Best = None
    top: Top = None


class RankingBody(RankingFields, forbid_unknown_fields=True, kw_only=True):
    """What a person says, as one of `order`, `ranks`, `best` and `top`, of a `comparison` or of images."""

    target: Image | UnsetType = UNSET
    candidates: Candidates | UnsetType = UNSET


class RankingTexts(RankingOptions, forbid_unknown_fields=True, kw_only=True):
    """What a person says of candidates in a form, whose parts are text."""

    comparison: Annotated[ComparisonId, Meta(description=COMPARISON)] | UnsetType = UNSET
    order: OrderText | UnsetType = UNSET
    ranks: RanksText | UnsetType = UNSET
    best: BestText | UnsetType = UNSET
    top: TopText | UnsetType = UNSET


class RankingForm(RankingTexts, forbid_unknown_fields=True, kw_only=True):
    """What a person says, as one of `order`, `ranks`, `best` and `top`, of a `comparison` or of images, in a form."""

    target: Image | UnsetType = UNSET
    candidates: Candidates | UnsetType = UNSET


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which version to use again."""

    version: Annotated[int, Meta(ge=1, le=MAX_INTEGER, description="A version's number.")]


class Interval(msgspec.Struct, frozen=True):
    """An estimate with its 95 % confidence interval."""

    value: float | None
    low: float | None = None
    high: float | None = None


class AgreementInfo(msgspec.Struct, frozen=True):
    """How well distances agree with the person's rankings."""

    pair_agreement: Annotated[Share, Meta(description="Share of the ordered pairs that the distances order alike.")]
    spearman: Annotated[float | None, Meta(description="Mean of Spearman's ρ within each ranking.")] = None
    icc2_k: Annotated[
        Interval | None,
        Meta(
            description="ICC(2,k) of ranks, person and metric as the raters. An order against the person's takes it "
            "below 0 without end, and the opposite order to null."
        ),
    ] = None


class FitInfo(msgspec.Struct, frozen=True):
    """What a fit was made of, and what it reached."""

    recipe: str
    rankings: Annotated[int, Meta(description="Rankings it learned from.")]
    targets: Annotated[int, Meta(description="Different targets among them.")]
    pairs: Annotated[int, Meta(description="Ordered pairs of candidates in them.")]
    held_out: Annotated[
        Literal["images", "targets", "candidates"],
        Meta(
            description="What the figures had not seen: `images`, where some stand in several rankings, whole "
            "`targets`, or with a single target some of its `candidates`."
        ),
    ]
    agreement: Annotated[AgreementInfo, Meta(description="Of these weights, cross-validated.")]
    parent: Annotated[AgreementInfo, Meta(description="Of the weights that the fit started from, on the same pairs.")]
    lpips: Annotated[AgreementInfo, Meta(description="Of plain LPIPS, on the same pairs.")]
    reason: Annotated[str, Meta(description="Why it was taken into use, or only proposed.")]


class VersionInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of a profile."""

    number: int
    origin: Literal["shipped", "created", "fitted", "imported", "reset"]
    status: Annotated[
        Literal["in use", "taken", "proposed", "superseded"],
        Meta(
            description="`taken`: it was in use until another was; `proposed`: the guard kept it out of use; "
            "`superseded`: it learned from a ranking that has been forgotten or replaced since, and is not used again."
        ),
    ]
    created: Annotated[datetime, Meta(tz=True, description="In UTC.")]
    replaced: Annotated[int | None, Meta(description="The version that was in use when it was made.")] = None
    fit: FitInfo | None = None


class ProfileSummary(msgspec.Struct, frozen=True):
    """A profile in a list."""

    name: str
    parent: str
    version: Annotated[int, Meta(description="The version in use.")]
    rankings: Annotated[
        int,
        Meta(
            description="Rankings that count: not replaced by a later order of their comparison, not forgotten, not "
            "before a reset."
        ),
    ]
    created: Annotated[datetime, Meta(tz=True, description="In UTC.")]


class ProfileList(msgspec.Struct, frozen=True):
    """Profiles by name."""

    profiles: list[ProfileSummary]
    shipped: Annotated[list[str], Meta(description="Weights that ship with the service; they cannot be taught.")]
    next: Annotated[str | None, Meta(description="There are more: ask again with `after` set to this.")]


Waiting = Annotated[
    str | None,
    Meta(
        description="Why its rankings are not what it answers with, and what it waits for, for a person to read; null "
        "once a version that learned from them has been taken."
    ),
]


class ProfileDetail(ProfileSummary, frozen=True):
    """A profile with its versions."""

    layer_shares: Annotated[
        LayerShares,
        Meta(
            description="Each of AlexNet's layers' share of the distance of two natural images, by the version in use. "
            "With the shares of the content network's families they add up to 1."
        ),
    ]
    family_shares: Annotated[FamilyShares, Meta(description="Each family's share of the same.")]
    lpips_layer_shares: Annotated[LayerShares, Meta(description="The same of plain LPIPS.")]
    waiting: Waiting
    unlearned: Annotated[int, Meta(description="Rankings that are kept but not fitted yet: `POST …/fit` does.")]
    versions: Annotated[list[VersionInfo], Meta(description="The newest first.")]
    next: Annotated[int | None, Meta(description="There are older ones: ask again with `before` set to this.")]


class Taught(msgspec.Struct, frozen=True):
    """What a fit changed."""

    profile: str
    version: Annotated[int, Meta(description="The version in use now.")]
    taken: Annotated[bool, Meta(description="Whether a new version was taken into use.")]
    reason: Annotated[str, Meta(description="Why it was, or was not.")]
    waiting: Waiting
    proposed: Annotated[int | None, Meta(description="A version that was made but not taken: `rollback` takes it.")]
    before: Annotated[Share | None, Meta(description="Pair agreement of the weights that the fit started from.")]
    after: Annotated[Share | None, Meta(description="Pair agreement of the new version, cross-validated.")]
    lpips: Annotated[Share | None, Meta(description="Pair agreement of plain LPIPS.")]
    rankings: Annotated[int, Meta(description="Rankings of the profile that count.")]
    pairs: Annotated[int | None, Meta(description="Ordered pairs in them, where they made a version.")]


class TaughtRanking(Taught, frozen=True):
    """What a ranking changed."""

    ranking: Annotated[int, Meta(description="The ranking's number.")]
    guessed: Annotated[
        Share, Meta(description="Share of its pairs that the version in use before had ordered as the person does.")
    ]
    unknown: Annotated[
        list[str],
        Meta(
            description="Families of channels that the ranking teaches nothing of: the images were compared without "
            "the network that makes them, and are no longer at hand. Send the images to teach all.",
            examples=[["content_mean", "content_std"]],
        ),
    ]


class Forgotten(Taught, frozen=True):
    """What forgetting a ranking changed: the fit of those that are left."""

    forgotten: Annotated[int, Meta(description="The number of the ranking that is gone.")]


class RankingInfo(msgspec.Struct, frozen=True):
    """What is known of a ranking."""

    profile: str
    ranking: Annotated[int, Meta(description="Its number.")]
    target: ImageName
    candidates: list[ImageName]
    ranks: Annotated[
        list[int],
        Meta(
            description="A rank for each candidate, 1 for the most similar. Equal ranks are ties, of which nothing was "
            "said: `best` and `top` leave the rest tied."
        ),
    ]
    rater: str
    comparison: Annotated[str | None, Meta(description="The comparison that was ordered; null where images were sent.")]
    resolution: Annotated[int | None, Meta(description="Pixels a side; null is native size.")]
    at: Annotated[datetime, Meta(tz=True, description="When it was kept, in UTC.")]
    guessed: Annotated[
        Share, Meta(description="Share of its pairs that the version in use before had ordered as the person does.")
    ]


class Suggestion(msgspec.Struct, frozen=True):
    """Which two of a comparison's candidates to ask about next."""

    comparison: str
    target: ImageName
    pair: Annotated[
        Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=2, max_length=2)] | None,
        Meta(description="Their indices in the comparison, the lower first; null where no order would teach anything."),
    ]
    candidates: Annotated[list[ImageName], Meta(description="The two by hash; none where there is no pair.")]
    reason: Annotated[str, Meta(description="Why these two, or why none, for a person to read.")]


class Deleted(msgspec.Struct, frozen=True):
    """What was removed."""

    deleted: str
    versions: int
    rankings: int
