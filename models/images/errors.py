"""Errors of images: what cannot be scored, by kind. Each message says why, and what to send instead."""


class ImageError(ValueError):
    """An image that cannot be scored."""


class EmptyImageError(ImageError):
    """No bytes at all."""


class UnknownFormatError(ImageError):
    """None of the formats that are read."""


class TruncatedImageError(ImageError):
    """It begins like an image of a known format; what should follow is missing or damaged."""


class TooManyPixelsError(ImageError):
    """A decompression bomb, or an image larger than is taken here."""


class TooSmallError(ImageError):
    """No pixels, or a side too short for the backbone's stages."""


class TooCostlyError(ImageError):
    """It is built so that decoding it costs far more than its pixels do: chunks, scans, strips, tiles, metadata."""


class PixelTypeError(ImageError):
    """Pixels that are not 8-bit RGB and do not become it without guessing: floats, 32-bit integers, other layouts."""


class DecoderError(ImageError):
    """The decoder did not survive the file: it crashed, or took more memory or time than an image may."""


def require_at_most(limit: int, count: int, what: str) -> None:
    """Raise `TooCostlyError` where the file has more than `limit` of something; `what` names it, in the plural."""
    if count > limit:
        raise TooCostlyError(
            f"the file has {count:,} {what}, the limit is {limit:,}: to decode it would cost more than its pixels are "
            "worth; save the image anew"
        )
