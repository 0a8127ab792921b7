"""The body of a posted ranking → what a person said of a comparison, or of images that come with it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from clpips.service.problems import InvalidRequest
from clpips.service.wire.bodies import check_images, form_of
from clpips.service.wire.body_memory import Body
from clpips.service.wire.faults import fault_of, invalid
from clpips.service.wire.forms import Multipart
from clpips.service.wire.ranking_schemas import RankingBody, RankingFields, RankingForm, RankingTexts
from clpips.service.wire.schemas import Limits, Slot

SAID: Final = ("order", "ranks", "best", "top")  # ways of saying what a person said
NUMBER: Final = re.compile(r"\s*(-?[0-9]{1,10})\s*", re.ASCII)  # longer ones are no index and no rank
LISTS: Final = ("order", "ranks", "top")


@dataclass
class RankingRequest:
    """What a person said; of the images, or where there are none, of the comparison."""

    fields: RankingFields
    target: Slot | None
    candidates: list[Slot]

    def drop_images(self) -> None:
        """Give up the images' bytes, whoever else holds the request."""
        self.target, self.candidates = None, []


def parse_ranking(content_type: str, body: Body, limits: Limits) -> RankingRequest:
    """The body of `POST /profiles/{name}/rankings`. Raises a `Problem`; unreadable images become `Unreadable` slots."""
    form = form_of(content_type, body, limits)
    if isinstance(form, Multipart):
        fields = _numbered(form.options(RankingTexts, RankingForm), limits.images)
        candidates = form.images("candidates", "/candidates/{}")
        target = form.one("target") if candidates or fields.comparison is None else None
    else:
        tree = form.decode(RankingBody, body)
        # A copy without the images: they are views of the body, which the fit that follows would keep alive.
        fields = RankingFields(**{name: getattr(tree, name) for name in RankingFields.__struct_fields__})
        target = None if tree.target is msgspec.UNSET else form.slot("/target", tree.target)
        images = (
            []
            if tree.candidates is msgspec.UNSET
            else form.list_of(msgspec.Raw, tree.candidates, "/candidates", limits)
        )
        candidates = [form.slot(f"/candidates/{index}", image) for index, image in enumerate(images)]
    said = [name for name in SAID if getattr(fields, name) is not None]
    if len(said) != 1:
        came = f", and not {' and '.join(f'`{name}`' for name in said)} together" if said else ""
        raise invalid("", f"say what the person said as one of `order`, `ranks`, `best` and `top`{came}")
    if fields.comparison is not None and (target is not None or candidates):
        raise invalid("/comparison", "give the comparison or the images, one of the two")
    if fields.comparison is None:
        if target is None:
            raise invalid("/comparison", "give the `comparison` that `/rank` answered, or `target` and `candidates`")
        if len(candidates) < 2:
            raise invalid("/candidates", "an order needs at least two candidates")
        check_images(1 + len(candidates), "/candidates", fields.resolution, limits)
    return RankingRequest(fields, target, candidates)


def _numbered(texts: RankingTexts, most: int) -> RankingFields:
    """The fields of a form, whose lists are text, of `most` numbers at most."""
    values = {
        name: _numbers(name, value, most) if name in LISTS else value
        for name, value in msgspec.structs.asdict(texts).items()
        if value is not msgspec.UNSET
    }
    try:
        return msgspec.convert(values, RankingFields)
    except msgspec.ValidationError as error:
        fault = fault_of(error, "")
        raise InvalidRequest(f"{fault.pointer}: {fault.detail}", [fault]) from error


def _numbers(name: str, text: str, most: int) -> Sequence[int]:
    words = text.strip().removeprefix("[").removesuffix("]").split(",", most)
    if len(words) > most:
        raise invalid(f"/{name}", f"these are more than {most} numbers, and so many images no request has")
    numbers = [NUMBER.fullmatch(word) for word in words]
    if not all(numbers):
        raise invalid(f"/{name}", "expected whole numbers with commas between them, like 3,0,1,2")
    return [int(number[1]) for number in numbers if number is not None]
