"""States: a session's candidates in the order of some weights, from what is kept of them."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.distance import distance_by_family
from clpips.models.metric.families import ALL_NETWORKS, FAMILIES, Z_LENGTH, Networks
from clpips.models.metric.packing import known_networks, pack_z, unpack_z
from clpips.models.rankings.pairs import expand_ranks
from clpips.service.problems import Fault, ImagesNotHeld
from clpips.service.profiles.named_weights import NamedWeights
from clpips.service.storage.records import Comparison, Session, SessionCandidate
from clpips.service.wire.session_schemas import (
    SessionCandidateInfo,
    SessionOrderInfo,
    SessionProfile,
    SessionState,
    SessionTarget,
)

BLOCK: Final = 64  # candidates that are weighed together: their channel distances stay in the processor's cache


def weighed(
    candidates: Sequence[SessionCandidate], profile: NamedWeights, before: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """What each family adds to the candidates' distances by the weights of a profile, `(n, families)`.

    `before`, `(≤ n, families)`, are those of the first, as this gave them. Raises `ImagesNotHeld` where candidates were
    compared without a network that the weights need.
    """
    _require_known(candidates, profile)
    known = np.zeros((0, len(FAMILIES))) if before is None else before[: len(candidates)]
    blocks = [candidates[start : start + BLOCK] for start in range(len(known), len(candidates), BLOCK)]
    further = [distance_by_family(_z(block), profile.weights.values).astype(np.float64) for block in blocks]
    return np.concatenate([known, *further])


def state_of(
    session: Session,
    candidates: Sequence[SessionCandidate],
    profile: NamedWeights,
    parts: NDArray[np.float64],
    thumbnails: Collection[str],
) -> SessionState:
    """A session in the order of distances by the weights of a profile, whose `parts` `(n, families)` `weighed` gives.

    `thumbnails` are the images that have one.
    """
    distances = parts.sum(axis=1)  # (n,)
    shares = np.divide(parts, distances[:, np.newaxis], out=np.zeros_like(parts), where=distances[:, np.newaxis] > 0)
    ranking = np.argsort(distances, kind="stable").tolist()
    ranks = dict(zip(ranking, range(1, len(ranking) + 1), strict=True))
    names = [family.name for family in FAMILIES]
    order = session.order
    return SessionState(
        session=session.id,
        title=session.title,
        profile=SessionProfile(profile.info.name, profile.info.version),
        resolution=session.resolution,
        revision=session.revision,
        created=session.created_at,
        expires=session.expires_at,
        target=SessionTarget(f"sha256:{session.target}", session.target in thumbnails),
        mask=None if session.mask is None else f"sha256:{session.mask}",
        candidates=[
            SessionCandidateInfo(
                index=one.index,
                sha256=f"sha256:{one.image}",
                prompt=one.prompt,
                step=one.step,
                distance=float(distances[place]),
                rank=ranks[place],
                families=dict(zip(names, shares[place].tolist(), strict=True)),
                thumbnail=one.image in thumbnails,
            )
            for place, one in enumerate(candidates)
        ],
        ranking=ranking,
        order=None if order is None else SessionOrderInfo(dict(order.ranks), order.kind, order.at),
        agreement=None if order is None else kendall(order.ranks, distances),
    )


def kendall(ranks: Mapping[int, int], distances: NDArray[np.float64]) -> float | None:
    """Kendall's τ of distances `(n,)` and the ranks of some of the n: over the pairs that the ranks order.

    Pairs that are equally distant count as neither. None where the ranks order no pair.

    >>> kendall({0: 1, 1: 2, 2: 3}, np.array([0.1, 0.3, 0.2]))
    0.3333333333333333
    """
    indices = list(ranks)
    better, worse = expand_ranks([ranks[index] for index in indices])  # (p,) each
    if not len(better):
        return None
    said = distances[indices]  # (k,)
    return float(np.sign(said[worse] - said[better]).mean())


def compared(session: Session, candidates: Sequence[SessionCandidate]) -> Comparison:
    """Some candidates of a session as a comparison: what is known of all of them."""
    networks: Networks = ALL_NETWORKS
    for width in {len(one.channel_distances) for one in candidates}:
        networks &= known_networks(width)
    return Comparison(
        tenant=session.tenant,
        channel_distances=pack_z(_z(candidates), networks),
        target=session.target,
        candidates=[one.image for one in candidates],
        resolution=session.resolution,
        backbone=session.backbone,
        masked=session.mask is not None,
    )


def _z(candidates: Sequence[SessionCandidate]) -> NDArray[np.float32]:
    """Their channel distances, `(n, z)`, 0 where they are not known."""
    rows = [one.channel_distances for one in candidates]  # (known,) each
    blocks = [unpack_z(np.stack(list(alike))) for _, alike in groupby(rows, len)]  # (m, z) each
    return np.concatenate(blocks) if blocks else np.zeros((0, Z_LENGTH), np.float32)


def _require_known(candidates: Sequence[SessionCandidate], profile: NamedWeights) -> None:
    needed = profile.weights.networks
    widths = {len(one.channel_distances) for one in candidates}
    narrow = {width for width in widths if needed - known_networks(width)}
    lacking = [one.index for one in candidates if len(one.channel_distances) in narrow] if narrow else []
    if lacking:
        detail = (
            f"{profile.info.name!r} uses a network that candidates {', '.join(map(str, lacking[:10]))} of the session "
            "were compared without; rank by the session's own profile, or make a session with this one"
        )
        raise ImagesNotHeld(
            detail, [Fault(f"/candidates/{index}", "it was compared without that network") for index in lacking]
        )
