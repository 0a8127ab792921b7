"""Contracts of `/sessions`: make one, add candidates, look, watch, order, take back."""

from typing import Final

from clpips.service.openapi import examples
from clpips.service.openapi.contract import Answer, Body, Contract, ContractedOperation
from clpips.service.openapi.headers import LAST_EVENT_ID, PRIORITY, SESSION_TOKEN, TARGET_HASH, TIMEOUT
from clpips.service.openapi.problems import KEYED, RECEIVED, TIMED, Kinds, kinds
from clpips.service.problems import (
    BackboneMismatch,
    BadImages,
    BodyTooLarge,
    ContentLeftOut,
    DeadlinePassed,
    FitFailed,
    FitPostponed,
    Forbidden,
    ImagesNotHeld,
    LimitReached,
    NotReady,
    Overloaded,
    ProfileExists,
    ProfileNotFound,
    RequestTimeout,
    SessionFull,
    SessionNotFound,
    StorageUnavailable,
    ThumbnailGone,
    UnknownProfile,
    UnsupportedContent,
)
from clpips.service.wire.heatmaps import HEADERS
from clpips.service.wire.media_types import EVENT_STREAM, JSON, MSGPACK, MULTIPART, NPY, PNG, WEBP
from clpips.service.wire.session_schemas import (
    CandidatesBody,
    CandidatesForm,
    SessionBody,
    SessionForgotten,
    SessionMade,
    SessionOrderBody,
    SessionState,
    SessionSuggestion,
    SessionTaught,
)

FOUND: Final[Kinds] = {**KEYED, **kinds(StorageUnavailable, SessionNotFound)}
LOOKED_AT: Final[Kinds] = {
    **FOUND,
    **kinds(ContentLeftOut),
    UnknownProfile: "There is no profile of this name, or no longer; or the token does not open it.",
    BackboneMismatch: "The session, or the profile, is of another backbone than the one that the service runs.",
    ImagesNotHeld: "Candidates were compared without a network that the profile needs.",
}
STATE: Final = "The session as it is now."
TOKEN: Final = (SESSION_TOKEN,)


class CreateSessionOperation(ContractedOperation):
    """`POST /sessions`."""

    contract = Contract(
        notes="`curl -F target=@t.png -F profile=ada HOST/sessions`. The `url` of the answer is a page for a person, "
        "which shows each candidate as it comes; its token stands behind the `#`, where no server sees it.",
        bodies={
            JSON: Body(SessionBody, examples.SESSION),
            MULTIPART: Body(SessionBody, examples.SESSION),
            MSGPACK[0]: Body(SessionBody, examples.SESSION),
        },
        headers=(TIMEOUT, PRIORITY, TARGET_HASH),
        answers={201: Answer("The session, and what opens it.", SessionMade, headers=("Location",))},
        problems={
            **KEYED,
            **RECEIVED,
            **kinds(UnknownProfile, BackboneMismatch, ContentLeftOut, LimitReached),
        },
    )


class AddCandidatesOperation(ContractedOperation):
    """`POST /sessions/{session_id}/candidates`."""

    contract = Contract(
        notes="`curl -F candidates=@a.png -F 'prompts=[\"a red bridge\"]' HOST/sessions/ID/candidates`. Candidates are "
        "numbered in the order in which they come. Where the service no longer holds what it computed of the target, "
        "the answer is 409 `images-not-held` at `/target`: send the request again, with the target beside the "
        "candidates.",
        bodies={
            JSON: Body(CandidatesBody, examples.CANDIDATES),
            MULTIPART: Body(CandidatesForm, examples.CANDIDATES_FORM),
            MSGPACK[0]: Body(CandidatesBody, examples.CANDIDATES),
        },
        headers=(*TOKEN, TIMEOUT, PRIORITY, TARGET_HASH),
        answers={200: Answer(STATE, SessionState)},
        problems={
            **LOOKED_AT,
            **RECEIVED,
            **kinds(SessionFull),
            ImagesNotHeld: "Images were named by hash whose features the service does not hold, or it no longer holds "
            "those of the target: send their bytes.",
        },
    )


class LookAtSessionOperation(ContractedOperation):
    """`GET /sessions/{session_id}`."""

    contract = Contract(headers=TOKEN, answers={200: Answer(STATE, SessionState)}, problems=LOOKED_AT)


class WatchSessionOperation(ContractedOperation):
    """`GET /sessions/{session_id}/events`."""

    contract = Contract(
        notes="Server-sent events. An event says that the session has changed; `GET /sessions/{session_id}` tells how "
        "it is now. Its `id` is the revision, its `event` what has changed last (`created`, "
        "`candidates`, `order`, `profile` where another version of the profile is in use, `deleted`), its `data` a "
        "JSON object of `session`, `revision` and `change`. Several changes may come as one event. A stream ends "
        "after ten minutes, and when the service stops: connect again with the last id, and nothing is missed. A "
        "comment comes every 15 seconds. A browser's `EventSource` sends no headers: a page with a token reads the "
        "stream with `fetch`.",
        headers=(*TOKEN, LAST_EVENT_ID),
        answers={200: Answer("Events, until the session is deleted.", None, (EVENT_STREAM,))},
        problems={**FOUND, **kinds(NotReady, Overloaded)},
    )


class OrderSessionOperation(ContractedOperation):
    """`PUT /sessions/{session_id}/order`."""

    contract = Contract(
        bodies={media_type: Body(SessionOrderBody, examples.SESSION_ORDER) for media_type in (JSON, MSGPACK[0])},
        headers=(*TOKEN, TIMEOUT, PRIORITY),
        answers={200: Answer("The session, and what was taught.", SessionTaught)},
        problems={**LOOKED_AT, **TIMED},
    )


class TakeBackOrderOperation(ContractedOperation):
    """`DELETE /sessions/{session_id}/order`."""

    contract = Contract(
        headers=TOKEN,
        answers={200: Answer("The session, and what was forgotten.", SessionForgotten)},
        problems=LOOKED_AT,
    )


class DeleteSessionOperation(ContractedOperation):
    """`DELETE /sessions/{session_id}`."""

    contract = Contract(
        notes="With a key of the session's tenant, or, in a service without keys, as anybody: the session's token does "
        "not delete it.",
        headers=TOKEN,
        answers={204: Answer("The session is gone.", None, ())},
        problems={
            **FOUND,
            Forbidden: "The session's token came with the request, which cannot delete the session; or the API key has "
            "not the scope.",
            **kinds(ProfileNotFound, ProfileExists, BackboneMismatch, FitPostponed),
            FitFailed: "The ranking is forgotten, but the worker that fits weights to the others failed: delete the "
            "session again.",
        },
    )


class SessionImageOperation(ContractedOperation):
    """`GET /sessions/{session_id}/images/{which}`."""

    contract = Contract(
        headers=TOKEN,
        answers={200: Answer("A WebP file, no side longer than 384 pixels.", None, (WEBP,))},
        problems={**FOUND, **kinds(ThumbnailGone)},
    )


class SessionHeatmapOperation(ContractedOperation):
    """`GET /sessions/{session_id}/heatmap`."""

    contract = Contract(
        notes="`curl -H 'X-Session-Token: …' 'HOST/sessions/ID/heatmap?candidate=0' -o map.png`. It answers what "
        "`/heatmap` does, of the session's own images alone, at its resolution and within its mask, and costs as much. "
        "What was computed of the images must still be held: where it is not, 409, and nothing can be sent here.",
        headers=(*TOKEN, TIMEOUT, PRIORITY, TARGET_HASH),
        answers={200: Answer("The map.", None, (PNG, NPY), headers=HEADERS)},
        problems={
            **LOOKED_AT,
            # A body is read, though none is looked at.
            **kinds(NotReady, Overloaded, RequestTimeout, DeadlinePassed, BodyTooLarge, UnsupportedContent, BadImages),
            ImagesNotHeld: "What was computed of the session's images is held no longer: `errors` says of which, and "
            "they are sent again with `POST /sessions/{session_id}/candidates?since=0`, which adds nothing twice.",
        },
    )


class SuggestInSessionOperation(ContractedOperation):
    """`GET /sessions/{session_id}/suggest`."""

    contract = Contract(
        headers=TOKEN,
        answers={200: Answer("Two candidates, or why there are none to ask about.", SessionSuggestion)},
        problems={**FOUND, **kinds(ProfileNotFound)},
    )
