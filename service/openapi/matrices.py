"""Contract of `POST /matrix`."""

from clpips.service.openapi import examples
from clpips.service.openapi.contract import ANSWER_TYPES, Answer, Body, Contract, ContractedOperation
from clpips.service.openapi.headers import PRIORITY, TIMEOUT
from clpips.service.openapi.scoring import MESSAGEPACK, SCORED
from clpips.service.wire.matrices import FILE_HEADERS, MatrixBody, MatrixReply
from clpips.service.wire.media_types import JSON, MSGPACK, MULTIPART, NPY


class MatrixOperation(ContractedOperation):
    """`POST /matrix`."""

    contract = Contract(
        notes=f"`curl -F images=@a.png -F images=@b.png -F images=@c.png HOST/matrix`; {MESSAGEPACK} takes bytes; in "
        f"JSON images are base64. With `Accept: {NPY}` the answer is a `.npy` file, float32 `(n, n)`. Each image is "
        "embedded once, and each distance has the bits that `/distance` answers for the pair.",
        bodies={
            JSON: Body(MatrixBody, examples.MATRIX),
            MULTIPART: Body(MatrixBody, examples.MATRIX),
            MSGPACK[0]: Body(MatrixBody, examples.MATRIX),
        },
        headers=(TIMEOUT, PRIORITY),
        answers={
            200: Answer("All distances.", MatrixReply, ANSWER_TYPES, headers=FILE_HEADERS, files=(NPY,)),
        },
        problems=SCORED,
    )
