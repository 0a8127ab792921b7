"""Wire contract of sessions: what a tool sends of a refinement, what a person says of it, and what both are told."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from clpips.service.wire.bounds import MAX_INTEGER, NO_CONTROLS, whole
from clpips.service.wire.ranking_schemas import BEST, Forgotten, TaughtRanking, Top, TwoIndices
from clpips.service.wire.schemas import (
    Candidates,
    Distance,
    FamilyShares,
    Image,
    ImageName,
    MaskImage,
    RankOptions,
    list_of,
)

LONGEST_PROMPT = 2000  # characters
NO_NUL = r"^[^\x00]*"  # which PostgreSQL keeps in no text

Title = Annotated[
    str, Meta(max_length=200, description="A name for people; shown as text, whatever is in it.", **whole(NO_CONTROLS))
]
Prompt = Annotated[
    Annotated[str, Meta(max_length=LONGEST_PROMPT, **whole(NO_NUL))] | None,
    Meta(description="What the image was made from; shown as text, whatever is in it."),
]
Step = Annotated[
    Annotated[int, Meta(ge=0, le=MAX_INTEGER)] | None, Meta(description="A step of the refinement, as its tool counts.")
]
PROMPTS = "A prompt for each candidate, or null."
STEPS = "A step for each candidate, or null."
Index = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Ties = Annotated[list[Index], Meta(min_length=1, description="Candidates that are tied.")]


class SessionOptions(RankOptions, forbid_unknown_fields=True, kw_only=True):
    """What a new session may be told beside its target."""

    title: Title = ""


class SessionBody(SessionOptions, forbid_unknown_fields=True, kw_only=True):
    """A target to be refined towards."""

    target: Image
    mask: MaskImage | UnsetType = UNSET


class CandidateNotes(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What may be said of candidates."""

    prompts: Annotated[list[Prompt] | None, Meta(description=PROMPTS)] = None
    steps: Annotated[list[Step] | None, Meta(description=STEPS)] = None


class CandidatesBody(CandidateNotes, forbid_unknown_fields=True, kw_only=True):
    """Further candidates of a session."""

    candidates: Candidates
    target: Annotated[
        Raw | UnsetType,
        Meta(
            description="The session's target again, the same file, where what was computed of it is held no longer.",
            extra_json_schema={"type": "string", "contentEncoding": "base64"},
        ),
    ] = UNSET


class CandidateTexts(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What may be said of candidates in a form, whose parts are text."""

    prompts: Annotated[str, Meta(description=PROMPTS + ' As a JSON list: `["a red bridge", null]`.')] | UnsetType = (
        UNSET
    )
    steps: Annotated[str, Meta(description=STEPS + " As a JSON list: `[20, 40]`.")] | UnsetType = UNSET


class CandidatesForm(CandidateTexts, forbid_unknown_fields=True, kw_only=True):
    """Further candidates of a session, in a form."""

    candidates: Annotated[Raw, Meta(description="The images.", extra_json_schema=list_of(Image))]
    target: Image | UnsetType = UNSET


class SessionOrderBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a person says of a session's candidates: exactly one of `order`, `best` and `top`, by their indices."""

    order: Annotated[
        Annotated[list[Index | Ties], Meta(min_length=1)] | None,
        Meta(
            description="Candidates, the most similar first, each at most once; those in a list of their own are tied. "
            "Of candidates that are not named nothing is said.",
            examples=[[3, [0, 2], 1]],
        ),
    ] = None
    best: Annotated[Index | None, Meta(description=BEST)] = None
    top: Top = None


class SessionMade(msgspec.Struct, frozen=True):
    """A session that was made, and what opens it."""

    session: Annotated[str, Meta(description="Its id.")]
    url: Annotated[str, Meta(description="The page that shows it, for a person: whoever has this link may work on it.")]
    token: Annotated[
        str,
        Meta(
            description="Opens this session alone, in the header `X-Session-Token`, until it expires. The service "
            "keeps a hash of it: it is told here and never again."
        ),
    ]
    expires: Annotated[datetime, Meta(tz=True, description="When the session ends, in UTC.")]


class SessionProfile(msgspec.Struct, frozen=True):
    """Whose weights order the candidates."""

    name: str
    version: Annotated[int, Meta(ge=0)]


class SessionTarget(msgspec.Struct, frozen=True):
    """The target of a session."""

    sha256: ImageName
    thumbnail: Annotated[bool, Meta(description="Whether `GET …/images/target` has a picture.")]


class SessionCandidateInfo(msgspec.Struct, frozen=True):
    """A candidate of a session."""

    index: Annotated[int, Meta(ge=0, description="Its place in the order in which they came; it never changes.")]
    sha256: ImageName
    prompt: str | None
    step: int | None
    distance: Distance
    rank: Annotated[int, Meta(ge=1, description="1 is the most similar; equal distances keep the order they came in.")]
    families: Annotated[
        FamilyShares, Meta(description="Each family's share of the distance; they add up to 1, or are all 0.")
    ]
    thumbnail: Annotated[bool, Meta(description="Whether `GET …/images/{index}` has a picture.")]


class SessionOrderInfo(msgspec.Struct, frozen=True):
    """What a person has said of the candidates."""

    ranks: Annotated[
        dict[int, int],
        Meta(
            description="A rank for each candidate that they spoke of, by its index; 1 is the most similar, equal "
            "ranks are ties. `best` and `top` leave the rest tied.",
        ),
    ]
    kind: Literal["order", "best", "top"]
    at: Annotated[datetime, Meta(tz=True, description="When, in UTC.")]


class SessionState(msgspec.Struct, frozen=True):
    """A session as it is now."""

    session: str
    title: str
    profile: SessionProfile
    resolution: Annotated[int | None, Meta(description="Pixels a side; null is native size.")]
    revision: Annotated[int, Meta(ge=1, description="One more with each change; the ids of its events.")]
    created: Annotated[datetime, Meta(tz=True, description="In UTC.")]
    expires: Annotated[datetime, Meta(tz=True, description="When the session ends, in UTC.")]
    target: SessionTarget
    mask: Annotated[
        ImageName | None, Meta(description="The mask within which the candidates are compared; null: all counts.")
    ]
    candidates: Annotated[list[SessionCandidateInfo], Meta(description="By index.")]
    ranking: Annotated[list[int], Meta(description="Their indices, the most similar first.")]
    order: SessionOrderInfo | None
    agreement: Annotated[
        Annotated[float, Meta(ge=-1, le=1)] | None,
        Meta(description="Kendall's τ of the distances' order and the person's, over the pairs that they ordered."),
    ]


class SessionTaught(msgspec.Struct, frozen=True):
    """A session after a person's order, and what that taught its profile."""

    state: SessionState
    taught: TaughtRanking | None
    reason: Annotated[str | None, Meta(description="Why nothing was taught, for a person to read; the order is kept.")]


class SessionForgotten(msgspec.Struct, frozen=True):
    """A session without a person's order, and what forgetting it changed."""

    state: SessionState
    forgotten: Forgotten | None
    reason: Annotated[str | None, Meta(description="Why nothing was forgotten, for a person to read.")]


class SessionSuggestion(msgspec.Struct, frozen=True):
    """Which two of a session's candidates to ask about next."""

    session: str
    pair: Annotated[
        TwoIndices | None,
        Meta(description="Their indices, the lower first; null where no order would teach anything."),
    ]
    reason: Annotated[str, Meta(description="Why these two, or why none, for a person to read.")]


class SessionEvent(msgspec.Struct, frozen=True):
    """The data of an event: that a session has changed. `GET /sessions/{id}` tells how it is now."""

    session: str
    revision: int
    change: Literal["created", "candidates", "order", "profile", "deleted"]
