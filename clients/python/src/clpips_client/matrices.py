"""`matrix`: all pairs of a set, in blocks where the set is larger than a request."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips_client.core import Budget, Core, Limits
from clpips_client.errors import Fault, InvalidRequestError
from clpips_client.holding import send
from clpips_client.pictures import Picture
from clpips_client.reading import read
from clpips_client.replies import Diversity, Matrix
from clpips_client.scoring import RESOLUTION
from clpips_client.splitting import WHOLE_TRIES, are_alike, changing, parts, pictures_at, placed
from clpips_client.steps import Flow

NORMAL_95: Final = 1.959964  # standard errors on either side


def matrix(core: Core, images: Any, *, profile: str = "lpips", resolution: int | None = RESOLUTION) -> Flow[Matrix]:
    """The distance of every image of a set from every other, and their mean: how diverse the set is.

    Images are as in `rank`, two or more. Raises `BadImagesError` with the `indices` of those that cannot be used, and
    other errors by their kind.
    """
    (them,) = pictures_at([("/images/{}", images)], resolution)
    if len(them) < 2:
        detail = "there must be at least two images"
        raise InvalidRequestError(detail, (Fault("/images", detail),))
    budget = core.budget()
    blocks = _blocks(them, core.limits, resolution)
    for _ in range(WHOLE_TRIES):
        replies = []
        for block in blocks:
            flow = _part(core, budget, [them[place] for place in block], profile, resolution)
            replies.append((yield from placed(flow, block)))
        if are_alike(replies):
            return replies[0] if len(blocks) == 1 else _joined(replies, blocks, them)
    raise changing(profile)


def _part(core: Core, budget: Budget, them: Sequence[Picture], profile: str, resolution: int | None) -> Flow[Matrix]:
    answer = yield from send(
        core,
        budget,
        "/matrix",
        [(f"/images/{place}", each) for place, each in enumerate(them)],
        resolution,
        lambda place: {"profile": profile, "resolution": resolution, "images": [place(each) for each in them]},
    )
    return read(Matrix, answer)


def _blocks(them: Sequence[Picture], limits: Limits, resolution: int | None) -> list[list[int]]:
    """Which images go together in each request, so that every two of them meet in one."""
    everywhere = list(range(len(them)))
    items = [[each] for each in them]
    if len(list(parts(items, limits, resolution))) == 1:
        return [everywhere]
    half = Limits(limits.images // 2, limits.body_bytes // 2, limits.scored_pixels // 2)
    groups = [everywhere[part] for part in parts(items, half, resolution)]
    return [first + second for first, second in combinations(groups, 2)]


def _joined(replies: Sequence[Matrix], blocks: Sequence[Sequence[int]], them: Sequence[Picture]) -> Matrix:
    whole = np.zeros((len(them), len(them)))
    for reply, block in zip(replies, blocks, strict=True):
        whole[np.ix_(block, block)] = reply.distances
    return replace(
        replies[0],
        distances=tuple(map(tuple, whole.tolist())),
        images=tuple(each.name for each in them),
        diversity=diversity(whole),
    )


def diversity(distances: NDArray[np.float64]) -> Diversity:
    """The mean of all pairs `(n, n)`, n ≥ 3, with its 95 % interval by the jackknife over images, as the service's."""
    count = len(distances)
    total = float(distances.sum()) / 2
    mean = total / (count * (count - 1) / 2)
    without = (total - distances.sum(axis=1)) / ((count - 1) * (count - 2) / 2)  # (n,): without each image
    error = math.sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))
    return Diversity(mean, max(mean - NORMAL_95 * error, 0.0), mean + NORMAL_95 * error)
