"""The distinct images of one request, and what is wrong with some of them, at every place where they stand."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from clpips.models.images.errors import ImageError
from clpips.service.problems import BadImages, Fault, ImagesNotHeld, MalformedBody, Overloaded
from clpips.service.scoring.errors import NotHeldError
from clpips.service.wire.schemas import HeldImage, SentImage, Slot, Unreadable

SlotPair = tuple[Slot, Slot]


class RequestImages:
    """The distinct images of a request, by their hashes, and what is wrong with some."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        self.slots = list(slots)
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
        elif isinstance(error, MemoryError):
            raise Overloaded(
                "there is no memory for an image of this size now; try again in a second", (), {"Retry-After": "1"}
            ) from error
        else:
            raise error

    def raise_faults(self) -> None:
        """Raise the `Problem` of the slots without features, if there are any."""
        _raise_faults(self.slots, self.bad, self.not_held)


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


def _raise_faults(slots: Iterable[Slot], bad: Mapping[str, str], not_held: Collection[str]) -> None:
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
    if faults:
        raise kind(_count(len(faults), "cannot be used"), faults)
    if missing:
        raise ImagesNotHeld(_count(len(missing), "must be sent"), missing)


def _count(faults: int, complaint: str) -> str:
    return f"{faults} image{'s' if faults > 1 else ''} of the request {complaint}: see `errors`"
