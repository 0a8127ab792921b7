"""Requests of more than the service takes at once: which part has which images, and what a fault's place was before."""

import re
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any, Final, Protocol, TypeVar

from clpips_client.core import Limits
from clpips_client.errors import BadImagesError, ClpipsError, Fault, InvalidRequestError, ProblemError
from clpips_client.masks import MASK, mask_picture
from clpips_client.pictures import Picture, pictures_of
from clpips_client.replies import Engine, Profile
from clpips_client.steps import Flow

T = TypeVar("T")

IMAGE_OVERHEAD: Final = 128  # bytes of a body beside an image
WHOLE_TRIES: Final = 3  # of a request in parts, while the profile changes under its hands


class Computed(Protocol):
    """A reply that says what it was computed with."""

    @property
    def profile(self) -> Profile:
        """The weights."""
        ...

    @property
    def engine(self) -> Engine:
        """What ran the backbone."""
        ...


def pictures_at(places: Sequence[tuple[str, Any]], resolution: int | None) -> list[list[Picture]]:
    """The images of each place, which is a JSON pointer with `{}` for the index. All that are bad are named together.

    A pointer without `{}` is the place of a single image. Where the last place is `/mask`, the first one, which is the
    targets', is not resized: a mask is as large as its target. Raises `BadImagesError`, and `InvalidRequestError` for a
    resolution that is none.
    """
    _check_resolution(resolution)
    found: list[list[Picture]] = []
    faults: list[Fault] = []
    masked = places[-1][0] == MASK
    for pointer, things in places:
        try:
            if pointer == MASK:
                pictures = [mask_picture(things)]
            else:
                pictures = pictures_of(things, None if masked and not found and not faults else resolution, pointer)
        except BadImagesError as error:
            faults.extend(error.faults)
            continue
        if "{}" not in pointer and len(pictures) != 1:
            faults.append(Fault(pointer, f"one image is expected, and these are {len(pictures)}"))
        found.append(pictures)
    if faults:
        raise BadImagesError(f"{len(faults)} image{'s' if len(faults) > 1 else ''} cannot be used", tuple(faults))
    return found


def _check_resolution(resolution: Any) -> None:
    if resolution is not None and not (isinstance(resolution, Integral) and int(resolution) > 0):
        wrong = Fault("/resolution", f"it is {resolution!r}; expected whole pixels a side, such as 256, or None")
        raise InvalidRequestError("the resolution cannot be used", (wrong,))


def parts(
    items: Sequence[Sequence[Picture]], limits: Limits, resolution: int | None, *, beside: Sequence[Picture] = ()
) -> Iterator[slice]:
    """Slices of items (of some images each) that have room in one request, together with the images `beside` them."""
    scored = limits.scored_pixels // resolution**2 if resolution is not None else limits.images
    most = min(limits.images, max(scored, 1)) - len(beside)
    room = limits.body_bytes - _bytes(beside)
    start, images, size = 0, 0, 0
    for place, item in enumerate(items):
        if place > start and (images + len(item) > most or size + _bytes(item) > room):
            yield slice(start, place)
            start, images, size = place, 0, 0
        images, size = images + len(item), size + _bytes(item)
    yield slice(start, len(items))


def placed(flow: Flow[T], places: Sequence[int]) -> Flow[T]:
    """A part's flow, whose faults are named by their places in the whole: those of its images, in the part's order."""
    try:
        return (yield from flow)
    except ProblemError as error:
        if not error.faults:
            raise
        faults = tuple(Fault(_moved(fault.pointer, places), fault.detail) for fault in error.faults)
        raise type(error)(error.detail, faults, status=error.status, retry_after=error.retry_after) from None


def are_alike(replies: Sequence[Computed]) -> bool:
    """Whether all parts were computed with the same weights on the same backbone, so that their numbers compare."""
    return len({(reply.profile.fingerprint, reply.engine.backbone) for reply in replies}) == 1


def changing(profile: str) -> ClpipsError:
    """What to raise where they were not, `WHOLE_TRIES` times."""
    return ClpipsError(
        f"the profile {profile!r} was taught, again and again, while parts of the request were answered: ask again"
    )


def _moved(pointer: str, places: Sequence[int]) -> str:
    return re.sub(r"/(\d+)(?=/|\Z)", lambda found: f"/{places[int(found[1])]}", pointer, count=1)


def _bytes(pictures: Iterable[Picture]) -> int:
    return sum(IMAGE_OVERHEAD + len(picture.content or b"") for picture in pictures)
