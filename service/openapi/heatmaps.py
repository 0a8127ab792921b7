"""Contract of `POST /heatmap`."""

from clpips.service.openapi import examples
from clpips.service.openapi.contract import Answer, Body, Contract, ContractedOperation
from clpips.service.openapi.headers import PRIORITY, TARGET_HASH, TIMEOUT
from clpips.service.openapi.scoring import MASKS, MESSAGEPACK, SCORED
from clpips.service.wire.heatmaps import HEADERS, HeatmapBody
from clpips.service.wire.media_types import JSON, MSGPACK, MULTIPART, NPY, PNG


class HeatmapOperation(ContractedOperation):
    """`POST /heatmap`."""

    contract = Contract(
        notes="`curl -F target=@t.png -F candidate=@a.png HOST/heatmap -o map.png`. One map a request, so that a page "
        "can show each where it belongs; images that the service has seen may be named by hash, and cost no more than "
        f"the map. {MESSAGEPACK} takes bytes; in JSON images are base64. {MASKS} Families of statistics and the "
        "content network's have no place in a picture: `Clpips-Unplaced` says which share of the distance is theirs.",
        bodies={
            JSON: Body(HeatmapBody, examples.HEATMAP),
            MULTIPART: Body(HeatmapBody, examples.HEATMAP),
            MSGPACK[0]: Body(HeatmapBody, examples.HEATMAP),
        },
        headers=(TIMEOUT, PRIORITY, TARGET_HASH),
        answers={200: Answer("The map.", None, (PNG, NPY), headers=HEADERS)},
        problems=SCORED,
    )
