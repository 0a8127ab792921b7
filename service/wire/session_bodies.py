"""The bodies of a session's requests → its target, further candidates, or what a person says of them."""

from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from clpips.service.problems import InvalidRequest
from clpips.service.wire.bodies import check_images, form_of, parse_fields
from clpips.service.wire.body_memory import Body
from clpips.service.wire.faults import fault_of, invalid
from clpips.service.wire.forms import Multipart
from clpips.service.wire.schemas import Limits, SentImage, Slot
from clpips.service.wire.session_schemas import (
    CandidateNotes,
    CandidatesBody,
    CandidatesForm,
    CandidateTexts,
    SessionBody,
    SessionOptions,
    SessionOrderBody,
)

MOST_MASK_BYTES: Final = 2**20  # of a session's mask, which is kept in the database
SAID: Final = ("order", "best", "top")  # ways of saying what a person said

T = TypeVar("T")


@dataclass(frozen=True)
class SessionRequest:
    """A target to be refined towards."""

    target: Slot
    options: SessionOptions
    mask: Slot | None = None


@dataclass(frozen=True)
class CandidatesRequest:
    """Further candidates, what is said of each, and the target where it came again."""

    candidates: list[Slot]
    prompts: list[str | None]
    steps: list[int | None]
    target: Slot | None


def parse_session(content_type: str, body: Body, limits: Limits) -> SessionRequest:
    """The body of `POST /sessions`. Raises a `Problem`; an image that cannot be read becomes an `Unreadable` slot."""
    form = form_of(content_type, body, limits)
    if isinstance(form, Multipart):
        options = form.options(SessionOptions, SessionBody)
        target, mask = form.one("target"), form.optional("mask")
    else:
        fields = form.decode(SessionBody, body)
        options = SessionOptions(profile=fields.profile, resolution=fields.resolution, title=fields.title)
        target, mask = form.slot("/target", fields.target), form.optional_slot("/mask", fields.mask)
    check_images(1 + (mask is not None), "/target", options.resolution, limits)
    if mask is not None and isinstance(mask.image, SentImage) and len(mask.image.content) > MOST_MASK_BYTES:
        raise invalid(
            "/mask",
            f"a session keeps its mask, which may have {MOST_MASK_BYTES:,} bytes: send it as a grey PNG, or smaller",
        )
    return SessionRequest(target, options, mask)


def parse_candidates(content_type: str, body: Body, limits: Limits) -> CandidatesRequest:
    """The body of `POST /sessions/{id}/candidates`. Raises a `Problem`; unreadable images become `Unreadable` slots."""
    form = form_of(content_type, body, limits)
    target = None
    if isinstance(form, Multipart):
        texts = form.options(CandidateTexts, CandidatesForm)
        notes = CandidateNotes(
            prompts=_listed(CandidateNotes, "prompts", texts.prompts),
            steps=_listed(CandidateNotes, "steps", texts.steps),
        )
        candidates = form.images("candidates", "/candidates/{}")
        if form.images("target", "/target"):
            target = form.one("target")
    else:
        fields = form.decode(CandidatesBody, body)
        notes = CandidateNotes(prompts=fields.prompts, steps=fields.steps)
        images = form.list_of(msgspec.Raw, fields.candidates, "/candidates", limits)
        candidates = [form.slot(f"/candidates/{index}", image) for index, image in enumerate(images)]
        if fields.target is not msgspec.UNSET:
            target = form.slot("/target", fields.target)
    if not candidates:
        raise invalid("/candidates", "there must be at least one candidate")
    check_images(1 + len(candidates), "/candidates", None, limits)
    count = len(candidates)
    prompts, steps = _for_each("prompts", notes.prompts, count), _for_each("steps", notes.steps, count)
    return CandidatesRequest(candidates, prompts, steps, target)


def parse_order(content_type: str, body: Body, limits: Limits) -> SessionOrderBody:
    """The body of `PUT /sessions/{id}/order`. Raises a `Problem`."""
    said = parse_fields(SessionOrderBody, content_type, body, limits)
    ways = [name for name in SAID if getattr(said, name) is not None]
    if len(ways) != 1:
        came = f", and not {' and '.join(f'`{name}`' for name in ways)} together" if ways else ""
        raise invalid("", f"say what the person said as one of `order`, `best` and `top`{came}")
    return said


def _listed(shape: type[msgspec.Struct], name: str, text: str | msgspec.UnsetType) -> Any:
    """A JSON list in a part of a form, as the field of this name has it. Raises `InvalidRequest`."""
    if text is msgspec.UNSET:
        return None
    try:
        return getattr(msgspec.convert({name: msgspec.json.decode(text)}, shape), name)
    except msgspec.ValidationError as error:
        fault = fault_of(error, "")
        raise InvalidRequest(f"{fault.pointer}: {fault.detail}", [fault]) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise invalid(f"/{name}", 'expected a list in JSON, like ["a red bridge", null]') from error


def _for_each(name: str, values: list[T | None] | None, count: int) -> list[T | None]:
    if values is None:
        return [None] * count
    if len(values) != count:
        raise invalid(f"/{name}", f"there are {len(values)} for {count} candidates; give each one, or null")
    return values
