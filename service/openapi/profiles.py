"""Contracts of `/profiles`: make, teach, look at, take back, carry away and bring."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from clpips.service.openapi import examples
from clpips.service.openapi.contract import Answer, Body, Contract, ContractedOperation
from clpips.service.openapi.headers import PRIORITY, TARGET_HASH, TIMEOUT
from clpips.service.openapi.problems import KEYED, RECEIVED, TIMED, UNKNOWN_PARAMETER, kinds
from clpips.service.problems import (
    BackboneMismatch,
    ComparisonNotFound,
    ContentLeftOut,
    FitFailed,
    FitPostponed,
    InvalidRequest,
    LimitReached,
    MalformedBody,
    ProfileExists,
    ProfileNotFound,
    RankingNotFound,
    StorageUnavailable,
    UnknownProfile,
    VersionNotFound,
    VersionSuperseded,
)
from clpips.service.wire.media_types import JSON, MSGPACK, MULTIPART
from clpips.service.wire.profile_schemas import (
    Deleted,
    NewProfile,
    ProfileDetail,
    ProfileList,
    ProfileSummary,
    RollbackBody,
    Taught,
)
from clpips.service.wire.ranking_schemas import (
    Forgotten,
    RankingBody,
    RankingForm,
    RankingInfo,
    Suggestion,
    TaughtRanking,
)

WEIGHTS: Final = "application/octet-stream"
JSON_LINES: Final = "application/jsonl"

STORED: Final = {**KEYED, **kinds(StorageUnavailable)}
OWNED: Final = {  # where the path names a profile of the caller's own
    **STORED,
    **kinds(ProfileNotFound),
    ProfileExists: "Weights of this name ship with the service, and stay as they are.",
}

OTHER_BACKBONE: Final = "The profile was taught on another backbone than the one that the service runs."


def _fields(shape: type[msgspec.Struct], said: Mapping[str, Any]) -> dict[str, Body]:
    """A small body without images."""
    return {media_type: Body(shape, said) for media_type in (JSON, MULTIPART, MSGPACK[0])}


class CreateOperation(ContractedOperation):
    """`POST /profiles`."""

    contract = Contract(
        bodies=_fields(NewProfile, examples.PROFILE),
        headers=(TIMEOUT, PRIORITY),
        answers={201: Answer("The profile.", ProfileSummary, headers=("Location",))},
        problems={
            **STORED,
            **TIMED,
            **kinds(ProfileExists, LimitReached),
            UnknownProfile: "There is no profile of the parent's name.",
            BackboneMismatch: "The parent was taught on another backbone than the one that the service runs.",
            ContentLeftOut: "The parent uses the content network alone, which the service leaves out.",
        },
    )


class ListOperation(ContractedOperation):
    """`GET /profiles`."""

    contract = Contract(answers={200: Answer("A page of profiles.", ProfileList)}, problems=STORED)


class LookOperation(ContractedOperation):
    """`GET /profiles/{name}`."""

    contract = Contract(
        answers={200: Answer("The profile, and a page of its versions.", ProfileDetail)},
        problems={**STORED, **kinds(ProfileNotFound)},
    )


class RankingOperation(ContractedOperation):
    """`POST /profiles/{name}/rankings`."""

    contract = Contract(
        bodies={
            JSON: Body(RankingBody, examples.RANKING),
            MULTIPART: Body(RankingForm, examples.RANKING_FORM),
            MSGPACK[0]: Body(RankingBody, examples.RANKING),
        },
        headers=(TIMEOUT, PRIORITY, TARGET_HASH),
        answers={
            200: Answer("What is known of the ranking, which was kept before.", TaughtRanking),
            201: Answer("What the ranking changed.", TaughtRanking),
        },
        problems={
            **OWNED,
            **RECEIVED,
            **kinds(ComparisonNotFound, LimitReached, FitFailed, ContentLeftOut),
            BackboneMismatch: "The profile, or the comparison, is of another backbone than the one that the service "
            "runs.",
        },
    )


class LookAtRankingOperation(ContractedOperation):
    """`GET /profiles/{name}/rankings/{number}`."""

    contract = Contract(
        answers={200: Answer("What is known of the ranking.", RankingInfo)},
        problems={**OWNED, **kinds(RankingNotFound)},
    )


class ForgetOperation(ContractedOperation):
    """`DELETE /profiles/{name}/rankings/{number}`."""

    contract = Contract(
        answers={200: Answer("What forgetting the ranking changed.", Forgotten)},
        problems={
            **OWNED,
            **kinds(RankingNotFound),
            FitFailed: "The ranking is forgotten and nothing that learned from it is in use, but the worker that fits "
            "weights to the others failed.",
            FitPostponed: "The ranking is forgotten; the fit of the others goes on, or begins as soon as it can.",
            BackboneMismatch: OTHER_BACKBONE,
        },
    )


class SuggestOperation(ContractedOperation):
    """`GET /profiles/{name}/suggest`."""

    contract = Contract(
        answers={200: Answer("Two candidates, or why there are none to ask about.", Suggestion)},
        problems={
            **OWNED,
            **kinds(ComparisonNotFound),
            BackboneMismatch: "The profile, or the comparison, is of another backbone than the one that the service "
            "runs.",
        },
    )


class FitOperation(ContractedOperation):
    """`POST /profiles/{name}/fit`."""

    contract = Contract(
        answers={200: Answer("What the fit changed.", Taught)},
        problems={
            **OWNED,
            **kinds(FitFailed, FitPostponed),
            BackboneMismatch: OTHER_BACKBONE,
        },
    )


class RollbackOperation(ContractedOperation):
    """`POST /profiles/{name}/rollback`."""

    contract = Contract(
        bodies=_fields(RollbackBody, examples.ROLLBACK),
        headers=(TIMEOUT, PRIORITY),
        answers={200: Answer("The profile with the version in use.", ProfileSummary)},
        problems={**OWNED, **TIMED, **kinds(VersionNotFound, VersionSuperseded)},
    )


class ResetOperation(ContractedOperation):
    """`POST /profiles/{name}/reset`."""

    contract = Contract(answers={200: Answer("The profile as it begins again.", ProfileSummary)}, problems=OWNED)


class DeleteOperation(ContractedOperation):
    """`DELETE /profiles/{name}`."""

    contract = Contract(answers={200: Answer("What was removed.", Deleted)}, problems=OWNED)


class ExportWeightsOperation(ContractedOperation):
    """`GET /profiles/{name}/weights`."""

    contract = Contract(
        answers={200: Answer("The weights, as safetensors.", None, (WEIGHTS,), ("Content-Disposition",))},
        problems={**STORED, **kinds(ProfileNotFound, VersionNotFound)},
    )


class ImportOperation(ContractedOperation):
    """`PUT /profiles/{name}/weights`."""

    contract = Contract(
        bodies={WEIGHTS: Body(None)},
        headers=(TIMEOUT, PRIORITY),
        answers={
            200: Answer("The profile, which was there before.", ProfileSummary),
            201: Answer("The profile, which the weights have made.", ProfileSummary),
        },
        problems={
            **STORED,
            **{kind: words for kind, words in TIMED.items() if kind is not MalformedBody},
            **kinds(LimitReached, ContentLeftOut),
            ProfileExists: OWNED[ProfileExists],
            InvalidRequest: "The body is no weights file of the backbone that the service runs, the path is no name "
            f"that a profile can have, or {UNKNOWN_PARAMETER}.",
        },
    )


class ExportRankingsOperation(ContractedOperation):
    """`GET /profiles/{name}/rankings`."""

    contract = Contract(
        answers={200: Answer("One ranking a line.", None, (JSON_LINES,), ("Content-Disposition",))}, problems=OWNED
    )
