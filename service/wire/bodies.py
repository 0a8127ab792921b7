"""The bytes of a request's body → a request. One reader for JSON, MessagePack and multipart, chosen by content type.

Nothing here trusts the client: a body is bounded before it is parsed, a list is counted before it is decoded.
"""

from collections.abc import Callable
from typing import Any

from litestar import Request
from msgspec import Raw

from clpips.service.problems import BodyTooLarge, ClientGone, UnsupportedContent
from clpips.service.wire.body_memory import Body, BodyMemory
from clpips.service.wire.encodings import ENCODINGS, Encoding
from clpips.service.wire.faults import invalid, short, too_many
from clpips.service.wire.forms import Multipart, StructT, parse_multipart
from clpips.service.wire.media_types import JSON, MSGPACK, MULTIPART
from clpips.service.wire.schemas import (
    DistanceBody,
    DistanceForm,
    DistanceOptions,
    DistanceRequest,
    Limits,
    PairBody,
    RankBody,
    RankOptions,
    RankRequest,
    Slot,
)

CONTENT_TYPES = (JSON, *MSGPACK, MULTIPART)


def announced_bytes(header: str | None) -> int:
    """The body's length as the header `Content-Length` announces it, 0 where it does not."""
    return int(header[:20]) if header is not None and header.isdecimal() else 0


async def read_bytes(
    request: Request[Any, Any, Any], body: BodyMemory, limit: int, count: Callable[[int], None], *, images: bool = True
) -> Body:
    """The whole body, held by `body`.

    `count` is called with the number of bytes of each part before it is held; `images` may be in the body. Raises
    `BodyTooLarge` as soon as it is known to be, `ClientGone` if it ends early, and what `count` raises.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedContent(f"the body is encoded as {short(encoding)!r}; send it unencoded")
    what_to_do = "; send fewer or smaller images" if images else " of a body without images"
    too_large = f"the body is larger than {limit:,} bytes, which is the limit{what_to_do}"
    if announced_bytes(request.headers.get("content-length")) > limit:
        raise BodyTooLarge(too_large)
    while True:
        event = await request.receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        if event["type"] != "http.request":
            continue
        if len(body) + len(event["body"]) > limit:
            raise BodyTooLarge(too_large)
        count(len(event["body"]))
        body.append(event["body"])
        if not event["more_body"]:
            return body.whole()


def parse_rank(content_type: str, body: Body, limits: Limits) -> RankRequest:
    """The body of `/rank` as a request. Raises a `Problem`; images that cannot be read become `Unreadable` slots."""
    form = form_of(content_type, body, limits)
    if isinstance(form, Multipart):
        options = form.options(RankOptions, RankBody)
        target, mask = form.one("target"), form.optional("mask")
        candidates = form.images("candidates", "/candidates/{}")
    else:
        fields = form.decode(RankBody, body)
        options = RankOptions(profile=fields.profile, resolution=fields.resolution)
        target, mask = form.slot("/target", fields.target), form.optional_slot("/mask", fields.mask)
        images = form.list_of(Raw, fields.candidates, "/candidates", limits)
        candidates = [form.slot(f"/candidates/{index}", image) for index, image in enumerate(images)]
    if not candidates:
        raise invalid("/candidates", "there must be at least one candidate")
    check_images(1 + len(candidates) + (mask is not None), "/candidates", options.resolution, limits)
    return RankRequest(target, candidates, options, mask)


def parse_distance(content_type: str, body: Body, limits: Limits) -> DistanceRequest:
    """The body of `/distance` as a request. Raises a `Problem`; unreadable images become `Unreadable` slots."""
    form = form_of(content_type, body, limits)
    if isinstance(form, Multipart):
        options = form.options(DistanceOptions, DistanceForm)
        targets = form.images("target", "/pairs/{}/target")
        candidates = form.images("candidate", "/pairs/{}/candidate")
        if len(targets) != len(candidates):
            raise invalid(
                "/pairs",
                f"the form has {len(targets)} `target` and {len(candidates)} `candidate` parts; a pair needs both",
            )
        pairs = list(zip(targets, candidates, strict=True))
        masks = _masks_of_form(form, len(pairs))
    else:
        fields = form.decode(DistanceBody, body)
        options = DistanceOptions(profile=fields.profile, resolution=fields.resolution, layers=fields.layers)
        bodies = form.list_of(PairBody, fields.pairs, "/pairs", limits)
        pairs = [
            (form.slot(f"/pairs/{index}/target", pair.target), form.slot(f"/pairs/{index}/candidate", pair.candidate))
            for index, pair in enumerate(bodies)
        ]
        of_all = form.optional_slot("/mask", fields.mask)
        masks = [form.optional_slot(f"/pairs/{index}/mask", pair.mask) or of_all for index, pair in enumerate(bodies)]
    if not pairs:
        raise invalid("/pairs", "there must be at least one pair")
    distinct = {mask.pointer for mask in masks if mask is not None}
    check_images(2 * len(pairs) + len(distinct), "/pairs", options.resolution, limits)
    return DistanceRequest(pairs, options, masks if distinct else None)


def _masks_of_form(form: Multipart, pairs: int) -> list[Slot | None]:
    """The mask of each pair of a form: one is for all of them. Raises `InvalidRequest` for another number of them."""
    masks = form.images("mask", "/mask/{}" if form.count("mask") > 1 else "/mask")
    if len(masks) not in {0, 1, pairs}:
        raise invalid(
            "/mask", f"the form has {len(masks)} `mask` parts and {pairs} pairs: send one for all, or one for each"
        )
    of_all = masks[0] if len(masks) == 1 else None
    return [*masks] if len(masks) == pairs else [of_all] * pairs


def parse_fields(shape: type[StructT], content_type: str, body: Body, limits: Limits) -> StructT:
    """A body without images. Raises a `Problem`."""
    form = form_of(content_type, body, limits)
    return form.options(shape) if isinstance(form, Multipart) else form.decode(shape, body)


def as_it_is(_: str, body: Body, __: Limits) -> bytes:
    """A body that is a file."""
    return bytes(body)


def check_images(images: int, pointer: str, resolution: int | None, limits: Limits) -> None:
    """Raise `InvalidRequest` for more images than a request may have, or a resolution above the limit."""
    if images > limits.images:
        raise too_many(pointer, limits.images)
    if resolution is not None and resolution > limits.resolution:
        raise invalid("/resolution", f"{resolution} is above the limit of {limits.resolution} pixels a side")


def form_of(content_type: str, body: Body, limits: Limits) -> Encoding | Multipart:
    """What reads a body of this content type. Raises `UnsupportedContent`, `MalformedBody` or `InvalidRequest`."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == MULTIPART:
        return parse_multipart(content_type, body, limits)
    try:
        encoding = ENCODINGS[media_type]
    except KeyError:
        raise UnsupportedContent(
            f"the body comes as {short(media_type) or 'no content type'!r}; send {', '.join(CONTENT_TYPES)}",
            headers={"accept": ", ".join(CONTENT_TYPES)},
        ) from None
    encoding.require_countable(body, limits)
    return encoding
