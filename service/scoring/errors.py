"""Why an image has no features although its file may be sound."""

from clpips.models.images.errors import ImageError


class NotHeldError(LookupError):
    """An image was named by its hash, and its features are not here any more."""


class FeaturesLostError(RuntimeError):
    """Features, or pixels, lay on a device that is lost, and others are left: they must be made anew there."""


class UnscorableImageError(ImageError):
    """The engine fails on this image, and is well otherwise."""

    def __init__(self) -> None:
        super().__init__(
            "the engine fails on this image and on no other, and does not try it again for a while: re-encode it, "
            "scale it, or leave it out"
        )
