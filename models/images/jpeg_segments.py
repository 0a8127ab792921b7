"""JPEG segments: what a file says beside its pixels, and where its scans are, with bounds on how many there may be.

The walk decodes nothing. It finds the frame, the marks that tell decoders which colours are meant, the metadata that
change how the pixels look (the orientation and the colour profile), and the end of the first picture: whatever follows
it, such as the other pictures of an MPO file or a film, is not the image.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from clpips.models.images.bounds import (
    MAX_CHUNKS,
    MAX_PROFILE_BYTES,
    MAX_SCANNED_PIXELS,
    MAX_SCANS,
)
from clpips.models.images.errors import PixelTypeError, TruncatedImageError, require_at_most

START: Final = b"\xff\xd8"
END: Final = 0xD9
SCAN: Final = 0xDA
JPEG_LS: Final = 0xF7
FRAMES: Final = frozenset({*range(0xC0, 0xD0), JPEG_LS}) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
ARITHMETIC: Final = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_UNREAD: Final = {0xC3: "lossless", 0xCB: "lossless", JPEG_LS: "JPEG-LS"} | dict.fromkeys(
    (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical"
)
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment
BLOCK: Final = 8  # pixels a side
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # that ends the coded pixels of a scan
_ANY_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
_COLOURS: Final = {0xE0: b"JFIF\x00", 0xEE: b"Adobe"}  # applications' segments that tell decoders the colour space
_EXIF: Final = b"Exif\x00\x00"
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\x00"
_PROFILE: Final = b"ICC_PROFILE\x00"


@dataclass(slots=True)
class JpegFile:
    """What a JPEG says of its pixels."""

    width: int = 0
    height: int = 0
    precision: int = 8  # bits a sample
    components: int = 0
    missing: set[int] = field(default_factory=set)  # names of components of which no scan has come
    frame: int = 0  # the marker of the frame: which process coded the pixels
    decodable: list[bytes] = field(default_factory=list)  # segments and scans, without any metadata
    scans: list[int] = field(default_factory=list)  # which of `decodable` are the coded pixels of a scan
    ended: bool = False  # by its end marker
    exif: bytes | None = None
    xmp: bytes | None = None
    profile: bytes | None = None


def read_jpeg(content: bytes) -> JpegFile:
    """What the file says. Raises `TruncatedImageError`, `PixelTypeError` or `TooCostlyError`."""
    jpeg = JpegFile(decodable=[START])
    exif: list[bytes] = []
    xmp: bytes | None = None
    profile: dict[int, bytes] = {}
    segments = 0
    place = len(START)
    while (marker := _marker_at(content, place)) is not None:
        place, number = marker
        if number == END:
            jpeg.ended = True
            break
        if number in _ALONE:
            continue
        length = int.from_bytes(content[place : place + 2], "big")
        segment = content[place + 2 : place + length]
        if length < 2 or len(segment) < length - 2:
            if jpeg.scans:
                break
            raise _damaged("a segment that is cut short")
        segments += 1
        require_at_most(MAX_CHUNKS, segments, "segments")
        place += length
        if number == 0xE1 and segment.startswith(_EXIF):
            exif.append(segment[len(_EXIF) :])
        elif number == 0xE1 and segment.startswith(_XMP):
            xmp = xmp or segment[len(_XMP) :]
        elif number == 0xE2 and segment.startswith(_PROFILE) and len(segment) > len(_PROFILE) + 1:
            profile.setdefault(segment[len(_PROFILE)], segment[len(_PROFILE) + 2 :])
        elif _is_for_decoders(number, segment):
            jpeg.decodable.append(b"\xff" + bytes([number]) + content[place - length : place])
        if number in FRAMES:
            _take_frame(jpeg, number, segment)
        elif number == SCAN:
            if not jpeg.frame:
                raise _damaged("pixels before their frame")
            end = found.start() if (found := _MARKER.search(content, place)) else len(content)
            _take_scan(jpeg, segment)
            jpeg.scans.append(len(jpeg.decodable))
            jpeg.decodable.append(content[place:end])
            _require_all_restarts(jpeg.decodable[-1], jpeg.width, jpeg.height)
            _require_few_scans(jpeg)
            place = end
    if not jpeg.scans:
        raise _damaged("no pixels")
    if jpeg.missing:
        raise _damaged(f"scans of {jpeg.components - len(jpeg.missing)} of its {jpeg.components} components alone")
    jpeg.exif, jpeg.xmp = b"".join(exif) or None, xmp
    whole = b"".join(profile[number] for number in sorted(profile))
    jpeg.profile = whole if whole and len(whole) <= MAX_PROFILE_BYTES else None
    return jpeg


def decodable(jpeg: JpegFile, padding: bytes = b"") -> bytes:
    """The file without metadata, and with `padding` behind the coded pixels of each scan and of each restart.

    Behind the last restart of a scan come eight more of it: they stand in for restarts that are missing as a whole.
    """
    parts = list(jpeg.decodable)
    if padding:
        for number in jpeg.scans:
            count = len(_RESTART.findall(parts[number]))
            further = b"".join(b"\xff" + bytes([0xD0 + (count + more) % 8]) + padding for more in range(8))
            parts[number] = _RESTART.sub(lambda restart: padding + restart[0], parts[number]) + padding + further
    return b"".join([*parts, b"\xff\xd9" if jpeg.ended else b""])


def _is_for_decoders(number: int, segment: bytes) -> bool:
    """Whether a segment has to do with the pixels: not an application's, but for the colour space, nor a comment."""
    if number in _COLOURS:
        return segment.startswith(_COLOURS[number])
    return not (0xE0 <= number <= 0xEF or number == 0xFE)


def _marker_at(content: bytes, place: int) -> tuple[int, int] | None:
    """The place behind the next marker, and its number; bytes before it that are none are skipped, as decoders do."""
    found = _ANY_MARKER.search(content, place)
    return None if found is None else (found.end(), content[found.end() - 1])


def _take_frame(jpeg: JpegFile, number: int, segment: bytes) -> None:
    if jpeg.frame:
        raise _damaged("a second frame")
    if len(segment) < 6:
        raise _damaged("a frame that is cut short")
    jpeg.frame, jpeg.precision, jpeg.components = number, segment[0], segment[5]
    jpeg.missing = set(segment[6 : 6 + 3 * jpeg.components : 3])
    jpeg.height, jpeg.width = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big")
    if number in _UNREAD:
        raise PixelTypeError(
            f"the JPEG image is {_UNREAD[number]}, which is not read; save it as a baseline JPEG or PNG"
        )
    if not jpeg.height:
        raise PixelTypeError("the JPEG image says its height behind its pixels (DNL), which is not read; save it anew")
    if jpeg.precision != 8:
        raise PixelTypeError(
            f"the JPEG image has {jpeg.precision} bits a sample, which are not read; save it with 8, or as a 16-bit PNG"
        )
    if jpeg.components not in {1, 3, 4}:
        raise PixelTypeError(
            f"the JPEG image has {jpeg.components} components, expected 1 (grey), 3 (RGB) or 4 (CMYK); save it as RGB"
        )


def _take_scan(jpeg: JpegFile, segment: bytes) -> None:
    """Note whose pixels a scan brings: of a progressive frame its first coefficients, without which nothing is shown.

    libjpeg leaves a component that never comes at 128, and says nothing. What progressive scans refine after the first
    coefficients may be left out; then decoders agree about a picture of less detail.
    """
    count = segment[0] if segment else 0
    components, rest = segment[1 : 1 + 2 * count : 2], segment[1 + 2 * count :]
    first = len(rest) == 3 and rest[0] == 0 and rest[2] >> 4 == 0  # from coefficient 0 on, and no bits came before
    if first or jpeg.frame not in PROGRESSIVE:
        jpeg.missing -= set(components)


def _require_all_restarts(scan: bytes, width: int, height: int) -> None:
    """Restarts are numbered from 0 to 7, again and again: where one is missing, what it begins is missing too.

    Between two of them stands a block of pixels at least; a few more than blocks are let be.
    """
    most = -(-width // BLOCK) * -(-height // BLOCK) + 8
    for count, restart in enumerate(_RESTART.finditer(scan)):
        if restart[0][1] - 0xD0 != count % 8:
            raise _damaged("coded pixels missing between its restarts")
        require_at_most(most, count, "restarts in a scan")


def _require_few_scans(jpeg: JpegFile) -> None:
    require_at_most(MAX_SCANS, len(jpeg.scans), "scans")
    require_at_most(MAX_SCANNED_PIXELS, len(jpeg.scans) * jpeg.width * jpeg.height, "pixels in all its scans")


def _damaged(what: str) -> TruncatedImageError:
    return TruncatedImageError(f"the JPEG image is truncated or damaged: it has {what}; send the whole file")
