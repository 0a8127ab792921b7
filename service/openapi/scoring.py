"""Contracts of `POST /rank` and `POST /distance`."""

from typing import Final

from clpips.service.openapi import examples
from clpips.service.openapi.contract import Answer, Body, Contract, ContractedOperation
from clpips.service.openapi.headers import PRIORITY, TARGET_HASH, TIMEOUT
from clpips.service.openapi.problems import KEYED, RECEIVED, kinds
from clpips.service.problems import (
    BackboneMismatch,
    ContentLeftOut,
    UnknownProfile,
)
from clpips.service.wire.media_types import JSON, MSGPACK, MULTIPART
from clpips.service.wire.schemas import DistanceBody, DistanceForm, DistanceReply, RankBody, RankReply

MESSAGEPACK: Final = f"MessagePack (`{'`, `'.join(MSGPACK[:-1])}` or `{MSGPACK[-1]}`)"
MASKS: Final = (
    "A `mask` says which region of the target counts; one of 255 alone changes nothing. It counts as an image of the "
    "request, and is not kept."
)
SCORED: Final = {**KEYED, **RECEIVED, **kinds(UnknownProfile, BackboneMismatch, ContentLeftOut)}


class RankOperation(ContractedOperation):
    """`POST /rank`."""

    contract = Contract(
        notes=f"Image files go as a form, `curl -F target=@t.png -F candidates=@a.png -F candidates=@b.png HOST/rank`, "
        f"or as bytes in {MESSAGEPACK}; in JSON they are base64. {MASKS}",
        bodies={
            JSON: Body(RankBody, examples.RANK),
            MULTIPART: Body(RankBody, examples.RANK),
            MSGPACK[0]: Body(RankBody, examples.RANK),
        },
        headers=(TIMEOUT, PRIORITY, TARGET_HASH),
        answers={200: Answer("The candidates, the most similar first.", RankReply)},
        problems=SCORED,
    )


class DistanceOperation(ContractedOperation):
    """`POST /distance`."""

    contract = Contract(
        notes="As a form, the first `target` goes with the first `candidate` and so on: `curl -F target=@t.png -F "
        f"candidate=@a.png HOST/distance`. {MESSAGEPACK} takes bytes; in JSON images are base64. {MASKS} "
        "A pair may have a mask of its own.",
        bodies={
            JSON: Body(DistanceBody, examples.DISTANCE),
            MULTIPART: Body(DistanceForm, examples.DISTANCE_FORM),
            MSGPACK[0]: Body(DistanceBody, examples.DISTANCE),
        },
        headers=(TIMEOUT, PRIORITY, TARGET_HASH),
        answers={200: Answer("A distance for each pair.", DistanceReply)},
        problems=SCORED,
    )
