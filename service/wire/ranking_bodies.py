"""The body of a posted ranking → a person's order of a comparison, or of images that come with it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from clpips.service.problems import Fault, InvalidRequest
from clpips.service.wire.bodies import check_images, form_of
from clpips.service.wire.faults import invalid
from clpips.service.wire.forms import Multipart
from clpips.service.wire.profile_schemas import RankingBody, RankingFields
from clpips.service.wire.schemas import Limits, Slot


@dataclass
class RankingRequest:
    """A person's order; of the images, or where there are none, of the comparison."""

    fields: RankingFields
    target: Slot | None
    candidates: list[Slot]

    def drop_images(self) -> None:
        """Give up the images' bytes, whoever else holds the request."""
        self.target, self.candidates = None, []


class _FormFields(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The fields of a form, where lists are text: `3,0,1,2`."""

    order: str | None = None
    ranks: str | None = None
    rater: str | None = None
    comparison: str | None = None
    resolution: int | msgspec.UnsetType | None = msgspec.UNSET


def parse_ranking(content_type: str, body: bytes, limits: Limits) -> RankingRequest:
    """The body of `POST /profiles/{name}/rankings`. Raises a `Problem`; unreadable images become `Unreadable` slots."""
    form = form_of(content_type, body, limits)
    if isinstance(form, Multipart):
        fields = _fields(form.options(_FormFields, images={"target", "candidates"}))
        candidates = form.images("candidates", "/candidates/{}")
        target = form.one("target") if candidates or fields.comparison is None else None
    else:
        tree = form.decode(RankingBody, body)
        fields = _without_images(tree)
        target = None if tree.target is msgspec.UNSET else form.slot("/target", tree.target)
        images = (
            []
            if tree.candidates is msgspec.UNSET
            else form.list_of(msgspec.Raw, tree.candidates, "/candidates", limits)
        )
        candidates = [form.slot(f"/candidates/{index}", image) for index, image in enumerate(images)]
    if (fields.order is None) == (fields.ranks is None):
        raise invalid("", "give the person's order as `order` or as `ranks`, one of the two")
    if fields.comparison is not None and (target is not None or candidates):
        raise invalid("/comparison", "give the comparison or the images, one of the two")
    if fields.comparison is None:
        if target is None:
            raise invalid("/comparison", "give the `comparison` that `/rank` answered, or `target` and `candidates`")
        if len(candidates) < 2:
            raise invalid("/candidates", "an order needs at least two candidates")
        check_images(1 + len(candidates), "/candidates", fields.resolution, limits)
    return RankingRequest(fields, target, candidates)


def _without_images(body: RankingBody) -> RankingFields:
    """The fields that are no images: what is `Raw` in a body keeps the bytes of the whole body in memory."""
    return RankingFields(
        order=body.order, ranks=body.ranks, rater=body.rater, comparison=body.comparison, resolution=body.resolution
    )


def _fields(form: _FormFields) -> RankingFields:
    values = {
        name: _numbers(name, text) if name in ("order", "ranks") else text
        for name, text in msgspec.structs.asdict(form).items()
        if text is not msgspec.UNSET and (text is not None or name == "resolution")
    }
    try:
        return msgspec.convert(values, RankingFields)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error), [Fault("", str(error))]) from error


def _numbers(name: str, text: str) -> Sequence[int]:
    try:
        numbers: list[Any] = json.loads(f"[{text.strip().removeprefix('[').removesuffix(']')}]")
    except json.JSONDecodeError:
        numbers = [""]
    if not all(type(number) is int for number in numbers):
        raise invalid(f"/{name}", "expected whole numbers with commas between them, like 3,0,1,2")
    return numbers
