"""`POST /matrix`."""

import io
from functools import partial
from typing import Any

import numpy as np
from litestar import Response, post
from litestar.di import NamedDependency

from clpips.service.admission.access import require, tenant_of
from clpips.service.admission.reception import Reception
from clpips.service.openapi.matrices import MatrixOperation
from clpips.service.routes.parameters import AnyRequest
from clpips.service.scoring.matrices import Matrices
from clpips.service.wire.accepting import preferred
from clpips.service.wire.matrices import Matrix, MatrixReply, parse_matrix
from clpips.service.wire.media_types import JSON, MSGPACK, NPY
from clpips.service.wire.replies import reply


@post(
    "/matrix",
    status_code=200,
    summary="Measure all pairs",
    operation_id="matrix",
    tags=["scoring"],
    guards=[require("score")],
    operation_class=MatrixOperation,
)
async def matrix(
    request: AnyRequest, reception: NamedDependency[Reception], matrices: NamedDependency[Matrices]
) -> Response[Any]:
    """The distance of each image of a set from each other, and their mean: the set's diversity."""
    measure = partial(matrices.measure, tenant_of(request))
    return await reception.answer(request, parse_matrix, measure, respond=_answer)


def _answer(request: AnyRequest, measured: Matrix) -> Response[Any]:
    """Rows, or a `.npy` file where the request's `Accept` header prefers one."""
    if preferred(request, [JSON, *MSGPACK, NPY], JSON) != NPY:
        rows = measured.distances.tolist()
        return reply(
            request,
            MatrixReply(rows, measured.images, measured.diversity, measured.profile, measured.engine),
        )
    stream = io.BytesIO()
    np.save(stream, measured.distances, allow_pickle=False)
    parts = {name: getattr(measured.diversity, name) for name in ("mean", "low", "high")}
    headers = {
        "Clpips-Diversity": ", ".join(f"{name}={value}" for name, value in parts.items() if value is not None),
        "Clpips-Profile": f"{measured.profile.name}; version={measured.profile.version}",
        "Vary": "accept",
    }
    return Response(stream.getvalue(), media_type=NPY, headers=headers)
