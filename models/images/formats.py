"""File signatures (magic numbers): the formats that are read, told apart by their first bytes."""

from typing import Final

PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG: Final = b"\xff\xd8\xff"
NPY: Final = b"\x93NUMPY"

_SIGNATURES: Final = {  # format, as Pillow names it: (offset, first bytes) of its files
    "PNG": ((0, PNG),),
    "JPEG": ((0, JPEG),),
    "WEBP": ((8, b"WEBP"),),
    "AVIF": ((4, b"ftypavif"), (4, b"ftypavis"), (4, b"ftypmif1")),
    "BMP": ((0, b"BM"),),
    "TIFF": ((0, b"II*\x00"), (0, b"MM\x00*"), (0, b"II+\x00"), (0, b"MM\x00+")),
    "GIF": ((0, b"GIF87a"), (0, b"GIF89a")),
}
FORMATS: Final = tuple(_SIGNATURES)  # those that Pillow decodes


def format_of(content: bytes) -> str | None:
    """The format whose files begin like `content`, one of `FORMATS`; None where there is none.

    >>> format_of(b"GIF89a...")
    'GIF'
    """
    for name, signatures in _SIGNATURES.items():
        if any(content.startswith(signature, offset) for offset, signature in signatures):
            return name
    return None
