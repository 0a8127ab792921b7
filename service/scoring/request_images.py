"""The distinct images of one request, and what is wrong with some of them, at every place where they stand."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NoReturn

from clpips.models.images.errors import ImageError
from clpips.models.images.masks import require_mask_size
from clpips.models.metric.masks import MaskError
from clpips.service.problems import BadImages, Fault, ImagesNotHeld, MalformedBody, Overloaded
from clpips.service.scoring.errors import NotHeldError
from clpips.service.scoring.scored_masks import ScoredMask
from clpips.service.wire.schemas import HeldImage, SentImage, Slot, Unreadable

SlotPair = tuple[Slot, Slot]


class RequestMasks:
    """The distinct masks of a request, by their hashes, and what is wrong with some. They are no images of it."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        self.slots = list(slots)
        self.sent = {slot.image.sha256: slot.image for slot in self.slots if isinstance(slot.image, SentImage)}
        self.bad: dict[str, str] = {}  # what is wrong with it
        self.scored: dict[str, ScoredMask] = {}

    def note(self, name: str, error: BaseException) -> None:
        """Note what is wrong with a mask; raises what is no fault of the mask's."""
        if not isinstance(error, ImageError | MaskError):
            _raise_unavoidable(error)
        self.bad[name] = str(error)

    def usable(self) -> list[str]:
        return [name for name in self.sent if name not in self.bad]

    def of(self, slot: Slot | None) -> ScoredMask | None:
        """What stands in this slot, once it is decoded; None where it is no mask, or there is no slot."""
        if slot is None or isinstance(slot.image, Unreadable):
            return None
        return self.scored.get(slot.image.sha256)

    def fits(self, slot: Slot | None, size: tuple[int, int]) -> bool:
        """Whether the mask in this slot is as large as its target's picture; so it is where there is none."""
        mask = self.of(slot)
        return mask is None or mask.size == size

    def faults(self) -> list[Fault]:
        """What is wrong at each place where a mask stands."""
        found = []
        for pointer, image in self.slots:
            if isinstance(image, Unreadable):
                found.append(Fault(pointer, image.detail))
            elif isinstance(image, HeldImage):
                found.append(Fault(pointer, "masks are not kept: send the mask itself with each request"))
            elif image.sha256 in self.bad:
                found.append(Fault(pointer, self.bad[image.sha256]))
        return found


class RequestImages:
    """The distinct images of a request, by their hashes, and what is wrong with some."""

    def __init__(self, slots: Iterable[Slot], masks: Iterable[Slot] = ()) -> None:
        self.slots = list(slots)
        self.masks = RequestMasks(masks)
        self.named: dict[str, SentImage | HeldImage] = {}
        for _, image in self.slots:
            if isinstance(image, SentImage):
                self.named[image.sha256] = image
            elif isinstance(image, HeldImage):
                self.named.setdefault(image.sha256, image)
        self.bad: dict[str, str] = {}  # what is wrong with it
        self.not_held: set[str] = set()

    def usable(self) -> list[str]:
        return [name for name in self.named if name not in self.bad and name not in self.not_held]

    def are_usable(self, pair: tuple[str, str]) -> bool:
        return all(name in self.named and name not in self.bad and name not in self.not_held for name in pair)

    def note(self, name: str, error: BaseException) -> None:
        """Note what is wrong with an image; raises what is no fault of the image's."""
        if isinstance(error, ImageError):
            self.bad[name] = str(error)
        elif isinstance(error, NotHeldError):
            self.not_held.add(name)
        else:
            _raise_unavoidable(error)

    def raise_faults(self) -> None:
        """Raise the `Problem` of the slots without features and of the masks that are none, if there are any."""
        _raise_faults(self.slots, self.bad, self.not_held, self.masks)


def names_of(pair: SlotPair) -> tuple[str, str]:
    """The two images of a pair by their hashes; one that cannot be read has none."""
    target, candidate = ("" if isinstance(slot.image, Unreadable) else slot.image.sha256 for slot in pair)
    return target, candidate


def require_equal_sizes(pairs: Sequence[SlotPair], sizes: Mapping[str, tuple[int, int]]) -> None:
    """Raise `BadImages` that names each candidate whose target has another size."""
    faults = []
    for target, candidate in pairs:
        (height, width), (own_height, own_width) = sizes[target.sha256], sizes[candidate.sha256]
        if (height, width) != (own_height, own_width):
            faults.append(
                Fault(
                    candidate.pointer,
                    f"the image is {own_width}×{own_height} pixels and its target {width}×{height}; at native size "
                    "they must be equal: resize one, or name a resolution",
                )
            )
    if faults:
        raise BadImages(_count(len(faults), "do not have their target's size"), faults)


def _raise_unavoidable(error: BaseException) -> NoReturn:
    """Raise what is no fault of an image's."""
    if isinstance(error, MemoryError):
        raise Overloaded(
            "there is no memory for an image of this size now; try again in a second", (), {"Retry-After": "1"}
        ) from error
    raise error


def require_mask_sizes(
    pairs: Sequence[SlotPair],
    masks: Sequence[Slot | None],
    scored: RequestMasks,
    originals: Mapping[str, tuple[int, int]],
) -> None:
    """Raise `BadImages` that names each mask that has not the size of its target's picture; `originals` has those."""
    faults: dict[str, Fault] = {}
    for (target, _), slot in zip(pairs, masks, strict=True):
        mask = scored.of(slot)
        if slot is not None and mask is not None and slot.pointer not in faults:
            try:
                require_mask_size(mask.size, originals[target.sha256])
            except MaskError as error:
                faults[slot.pointer] = Fault(slot.pointer, str(error))
    if faults:
        raise BadImages(_count(len(faults), "cannot be used"), list(faults.values()))


def _raise_faults(
    slots: Iterable[Slot], bad: Mapping[str, str], not_held: Collection[str], masks: RequestMasks
) -> None:
    """Raise the `Problem` of the slots without features, if there are any.

    `bad` says what is wrong with an image, by its hash; `not_held` are hashes that name an image whose features the
    service does not hold.
    """
    faults: list[Fault] = []
    missing: list[Fault] = []
    kind: type[MalformedBody | BadImages] = BadImages
    for pointer, image in slots:
        if isinstance(image, Unreadable):
            kind = MalformedBody
            faults.append(Fault(pointer, image.detail))
        elif image.sha256 in not_held:
            missing.append(Fault(pointer, f"sha256:{image.sha256} is not held here; send the image's bytes"))
        elif image.sha256 in bad:
            faults.append(Fault(pointer, bad[image.sha256]))
    faults += masks.faults()
    if any(isinstance(slot.image, Unreadable) for slot in masks.slots):
        kind = MalformedBody
    if faults:
        raise kind(_count(len(faults), "cannot be used"), faults)
    if missing:
        raise ImagesNotHeld(_count(len(missing), "must be sent"), missing)


def _count(faults: int, complaint: str) -> str:
    return f"{faults} image{'s' if faults > 1 else ''} of the request {complaint}: see `errors`"
