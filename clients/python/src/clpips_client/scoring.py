"""`rank`, `distance` and `heatmap`: what is asked, in how many parts, and what the parts make together."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final, Literal

from clpips_client.core import Budget, Core
from clpips_client.errors import ClpipsError, Fault, InvalidRequestError
from clpips_client.holding import send
from clpips_client.masks import MASK
from clpips_client.packing import Tree
from clpips_client.pictures import Picture
from clpips_client.reading import read
from clpips_client.replies import Distances, Heatmap, Ranking
from clpips_client.splitting import WHOLE_TRIES, are_alike, changing, parts, pictures_at, placed
from clpips_client.steps import Answer, Flow

RESOLUTION: Final = 256
PICTURES: Final = "image/png, application/x-npy, */*;q=0.1"  # what a heat map may come as

Mask = dict[str, Tree]  # the field of a body, or nothing


def rank(
    core: Core,
    target: Any,
    candidates: Any,
    *,
    profile: str = "lpips",
    resolution: int | None = RESOLUTION,
    mask: Any = None,
) -> Flow[Ranking]:
    """Order candidates by their distance from a target, the most similar first.

    An image is a path, the bytes of a file, an image of Pillow's, a uint8 array `(H, W, 3)` or `(H, W)`, a tensor
    `(C, H, W)`, or a name that a reply gave (`sha256:…`); candidates are a list of these, a batch, or a list of
    batches. Floats are in [0, 1], which `Unit` states where it cannot be proven. `resolution` None scores at native
    size. More candidates than the service takes at once are sent in parts.

    `mask` says what counts of the target, and is as large as the target's picture: a path, the bytes of a file, a grey
    image of Pillow's, or an array `(H, W)` of uint8 in which 255 counts fully and 0 not at all, of booleans, or of
    floats in a `Unit`.

    Raises `BadImagesError` with the `indices` of the images that cannot be used, and other errors by their kind.
    """
    places = [("/target", [target]), ("/candidates/{}", candidates), *place_of(mask)]
    (one,), them, *masks = pictures_at(places, resolution)
    if not them:
        raise _empty("/candidates", "there must be at least one candidate")
    budget = core.budget()
    slices = list(parts([[each] for each in them], core.limits, resolution, beside=[one, *chain(*masks)]))
    everywhere = range(len(them))
    for _ in range(WHOLE_TRIES):
        replies = []
        for part in slices:
            flow = _rank_part(core, budget, one, them[part], profile, resolution, content_of(masks))
            replies.append((yield from placed(flow, everywhere[part])))
        if are_alike(replies):
            return _merged(replies, slices, (one, *them))
    raise changing(profile)


def distance(
    core: Core,
    targets: Any,
    candidates: Any,
    *,
    profile: str = "lpips",
    resolution: int | None = RESOLUTION,
    layers: bool = False,
    mask: Any = None,
) -> Flow[Distances]:
    """The distance of each pair: the first target with the first candidate, and so on; a single target goes with each.

    Images are as in `rank`. `layers` asks for what each layer and each family of channels adds, too. `mask` is
    as in `rank`, one for all pairs, whose targets are then as large as it is.

    Raises `BadImagesError` with the `indices` of the pairs whose images cannot be used, and other errors by their kind.
    """
    places = [("/pairs/{}/target", targets), ("/pairs/{}/candidate", candidates), *place_of(mask)]
    left, right, *masks = pictures_at(places, resolution)
    if len(left) == 1:
        left *= max(len(right), 1)
    if len(left) != len(right) or not left:
        raise _empty("/pairs", f"there are {len(left)} targets and {len(right)} candidates; give a pair or more")
    pairs = list(zip(left, right, strict=True))
    budget = core.budget()
    slices = list(parts(pairs, core.limits, resolution, beside=[*chain(*masks)]))
    everywhere = range(len(pairs))
    for _ in range(WHOLE_TRIES):
        replies = []
        for part in slices:
            flow = _distance_part(core, budget, pairs[part], profile, resolution, content_of(masks), layers=layers)
            replies.append((yield from placed(flow, everywhere[part])))
        if are_alike(replies):
            return replace(
                replies[0],
                distances=tuple(value for reply in replies for value in reply.distances),
                pairs=tuple(pair for reply in replies for pair in reply.pairs),
                layers=tuple(one for reply in replies for one in reply.layers or ()) if layers else None,
                families=tuple(one for reply in replies for one in reply.families or ()) if layers else None,
            )
    raise changing(profile)


def heatmap(
    core: Core,
    target: Any,
    candidate: Any,
    *,
    profile: str = "lpips",
    resolution: int | None = RESOLUTION,
    format: Literal["png", "npy"] = "png",  # noqa: A002 - the service's word
    style: Literal["map", "overlay"] = "map",
    upsample: Literal["nearest", "bilinear"] = "nearest",
    opacity: float = 0.6,
    high: float | None = None,
    mask: Any = None,
) -> Flow[Heatmap]:
    """Where a candidate differs from its target, by a profile: a picture, or its values. Images are as in `rank`.

    `overlay` lays the map over the candidate with `opacity`. `high` is the value of the lightest colour: the same for
    several maps makes them comparable. `mask` is as in `rank`. docs/api.md tells the rest.
    """
    places = [("/target", [target]), ("/candidate", [candidate]), *place_of(mask)]
    (one,), (other,), *masks = pictures_at(places, resolution)
    options = {"profile": profile, "resolution": resolution, "format": format, "style": style, "upsample": upsample}
    answer = yield from send(
        core,
        core.budget(),
        "/heatmap",
        [("/target", one), ("/candidate", other)],
        resolution,
        lambda place: {
            **options,
            **content_of(masks),
            "opacity": float(opacity),
            "high": None if high is None else float(high),
            "target": place(one),
            "candidate": place(other),
        },
        one.name,
        accept=PICTURES,
    )
    return heatmap_of(answer, format)


def heatmap_of(answer: Answer, format: Literal["png", "npy"]) -> Heatmap:  # noqa: A002 - as above
    """A heat map as it is answered: a file, and what its headers say. Raises `ClpipsError` where it is none."""
    try:
        headers = answer.headers
        legend = _numbers(headers["clpips-legend"])
        name, _, version = headers["clpips-profile"].rpartition("; version=")
        return Heatmap(
            content=answer.content,
            format=format,
            distance=float(headers["clpips-distance"]),
            families=_numbers(headers["clpips-families"]),
            unplaced=float(headers["clpips-unplaced"]),
            low=legend["low"],
            high=legend["high"],
            profile=name,
            version=int(version),
        )
    except (KeyError, ValueError) as error:
        raise ClpipsError(f"the answer is no heat map ({error!r}): is this the address of a CLPIPS service?") from error


def _rank_part(
    core: Core,
    budget: Budget,
    target: Picture,
    them: Sequence[Picture],
    profile: str,
    resolution: int | None,
    mask: Mask,
) -> Flow[Ranking]:
    pictures = [("/target", target), *((f"/candidates/{place}", each) for place, each in enumerate(them))]
    answer = yield from send(
        core,
        budget,
        "/rank",
        pictures,
        resolution,
        lambda place: {
            "profile": profile,
            "resolution": resolution,
            **mask,
            "target": place(target),
            "candidates": [place(each) for each in them],
        },
        target.name,
    )
    return read(Ranking, answer)


def _distance_part(
    core: Core,
    budget: Budget,
    pairs: Sequence[tuple[Picture, Picture]],
    profile: str,
    resolution: int | None,
    mask: Mask,
    *,
    layers: bool,
) -> Flow[Distances]:
    pictures = [
        (f"/pairs/{place}/{role}", picture)
        for place, pair in enumerate(pairs)
        for role, picture in zip(("target", "candidate"), pair, strict=True)
    ]
    targets = {target.name for target, _ in pairs}
    answer = yield from send(
        core,
        budget,
        "/distance",
        pictures,
        resolution,
        lambda place: {
            "profile": profile,
            "resolution": resolution,
            "layers": layers,
            **mask,
            "pairs": [{"target": place(target), "candidate": place(candidate)} for target, candidate in pairs],
        },
        targets.pop() if len(targets) == 1 else None,
    )
    return read(Distances, answer)


def _merged(replies: Sequence[Ranking], slices: Sequence[slice], pictures: tuple[Picture, ...]) -> Ranking:
    """One ranking of all parts'; equal distances keep the order in which the candidates came."""
    if len(replies) == 1:
        return replace(replies[0], pictures=pictures)
    ranked = [
        replace(one, index=one.index + part.start)
        for reply, part in zip(replies, slices, strict=True)
        for one in reply.ranking
    ]
    by_base = sorted(ranked, key=lambda one: (one.base_distance, one.index))
    base_ranks = {one.index: place for place, one in enumerate(by_base, 1)}
    ordered = sorted(ranked, key=lambda one: (one.distance, one.index))
    return replace(
        replies[0],
        ranking=tuple(
            replace(one, rank=place, base_rank=base_ranks[one.index]) for place, one in enumerate(ordered, 1)
        ),
        comparison=None,
        pictures=pictures,
    )


def place_of(mask: Any) -> list[tuple[str, Any]]:
    """Where a mask stands in a body, if there is one."""
    return [] if mask is None else [(MASK, mask)]


def content_of(masks: Sequence[Sequence[Picture]]) -> Mask:
    """What a body says of a mask: the mask itself, for masks have no names."""
    return {"mask": masks[0][0].content} if masks else {}


def _numbers(header: str) -> dict[str, float]:
    """`low=0.0, high=2.5` as numbers by their names."""
    return {name: float(value) for name, _, value in (part.strip().partition("=") for part in header.split(","))}


def _empty(pointer: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(detail, (Fault(pointer, detail),))
