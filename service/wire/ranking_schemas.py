"""Wire contract of rankings: what a person says of candidates, what that changed, and what to ask next."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from clpips.models.metric.backbone import DEFAULT_RESOLUTION, MIN_SIDE
from clpips.service.wire.bounds import MAX_INTEGER, NO_CONTROLS, whole
from clpips.service.wire.profile_schemas import Share, Taught
from clpips.service.wire.schemas import Candidates, Image, ImageName

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
TwoIndices = Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=2, max_length=2)]


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
        TwoIndices | None,
        Meta(description="Their indices in the comparison, the lower first; null where no order would teach anything."),
    ]
    candidates: Annotated[list[ImageName], Meta(description="The two by hash; none where there is no pair.")]
    reason: Annotated[str, Meta(description="Why these two, or why none, for a person to read.")]
