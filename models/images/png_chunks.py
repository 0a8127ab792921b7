"""PNG chunks: what a file says beside its pixels, with bounds on how much it may say.

The walk reads no pixel. It finds the header, the palette, the transparent colour, the run of pixel chunks, and the
metadata that change how the pixels look: the orientation and the colour profile. Texts, times and previews are skipped,
whatever their size.
"""

import re
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from clpips.models.images.bounds import MAX_CHUNKS, MAX_PIXEL_CHUNKS, MAX_PROFILE_BYTES
from clpips.models.images.errors import PixelTypeError, TruncatedImageError, require_at_most
from clpips.models.images.formats import PNG

GREY: Final = 0
RGB: Final = 2
PALETTE: Final = 3
GREY_ALPHA: Final = 4
RGB_ALPHA: Final = 6
CHANNELS: Final = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
DEPTHS: Final = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_EXIF_AS_TEXT: Final = (
    b"Raw profile type exif\x00",
    b"Raw profile type APP1\x00",
)  # hexadecimal, as ImageMagick writes
_XMP: Final = b"XML:com.adobe.xmp\x00"
LONGEST_TEXT: Final = 2**20  # bytes of metadata that are unpacked to look for an orientation


@dataclass(frozen=True, slots=True)
class PngFile:
    """What a PNG says of its pixels; `begin` and `end` are the run of pixel chunks, verbatim."""

    width: int
    height: int
    depth: int  # bits a sample
    colour: int  # type: GREY, RGB, PALETTE, GREY_ALPHA or RGB_ALPHA
    interlaced: bool
    header: bytes  # the chunk, whole
    palette: bytes  # the chunk, whole; empty where there is none
    transparency: bytes | None  # what the tRNS chunk holds
    begin: int
    end: int
    cut_short: bool  # in the last of them
    exif: bytes | None
    xmp: bytes | None
    profile: bytes | None  # an ICC profile
    animated: bool
    complete: bool  # up to its end chunk, and every chunk but those of pixels has its checksum


def read_png(content: bytes) -> PngFile:
    """What the file says. Raises `TruncatedImageError`, `PixelTypeError` or `TooCostlyError`."""
    found: dict[bytes, bytes] = {}  # the first chunk of each kind that matters, whole
    exif_text: bytes | None = None
    xmp: bytes | None = None
    begin = end = other = pixel_chunks = 0
    complete = cut_short = False
    place = len(PNG)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        after = place + 12 + length
        if kind == b"IDAT" and not (end and begin and place != end):
            begin, end, cut_short = begin or place, min(after, len(content)), after > len(content)
            pixel_chunks += 1
            require_at_most(MAX_PIXEL_CHUNKS, pixel_chunks, "chunks of pixels")
            place = after
            continue
        other += 1
        require_at_most(MAX_CHUNKS, other, "chunks beside those of pixels")
        sound = after <= len(content) and zlib.crc32(memoryview(content)[place + 4 : after - 4]) == int.from_bytes(
            content[after - 4 : after], "big"
        )
        if not sound:
            if not begin:  # behind the pixels it costs nothing but itself
                raise _damaged(f"a chunk {_named(kind)} with a wrong checksum or a missing end")
            break
        if kind == b"IEND":
            complete = True
            break
        if not found and kind != b"IHDR":
            if kind == b"CgBI":
                raise PixelTypeError(
                    "the PNG is Apple's own variant (CgBI), of an app's bundle; save it as a plain PNG"
                )
            raise _damaged("no header where it should be")
        body = memoryview(content)[place + 8 : after - 4]
        if kind in {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"acTL"}:
            if kind == b"IHDR" and found:
                raise _damaged("a second header")
            if kind not in {b"PLTE", b"tRNS"} or not begin:
                found.setdefault(kind, content[place:after])
        elif exif_text is None and kind in {b"tEXt", b"zTXt"} and bytes(body[:22]).startswith(_EXIF_AS_TEXT):
            exif_text = _exif_of_text(kind, bytes(body))
        elif xmp is None and kind == b"iTXt" and bytes(body[: len(_XMP)]) == _XMP:
            xmp = _international_text(bytes(body))
        place = after
    if b"IHDR" not in found or not begin:
        raise _damaged("no header" if b"IHDR" not in found else "no pixels")
    exif = found[b"eXIf"][8:-4] if b"eXIf" in found else exif_text
    return _png_file(found, (begin, end), (exif, xmp), cut_short=cut_short, complete=complete)


def _png_file(
    found: dict[bytes, bytes],
    run: tuple[int, int],
    texts: tuple[bytes | None, bytes | None],
    *,
    cut_short: bool,
    complete: bool,
) -> PngFile:
    header = found[b"IHDR"]
    if len(header) != 25:
        raise _damaged("a header of a wrong length")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", header[8:21])
    if depth not in DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise _damaged(f"colour type {colour} at {depth} bits, which there is not, or an unknown compression")
    palette = found.get(b"PLTE", b"")
    if colour == PALETTE and (len(palette) < 15 or len(palette) % 3 or len(palette) > 12 + 3 * 256):
        raise _damaged("colours by number, and no sound palette")
    transparency = found[b"tRNS"][8:-4] if b"tRNS" in found and colour in {GREY, RGB, PALETTE} else None
    if transparency is not None and len(transparency) < {GREY: 2, RGB: 6, PALETTE: 0}[colour]:
        raise _damaged("a transparent colour that is cut short")
    return PngFile(
        width,
        height,
        depth,
        colour,
        bool(interlace),
        header,
        palette if colour == PALETTE else b"",
        transparency,
        *run,
        cut_short,
        *texts,
        _profile(found[b"iCCP"][8:-4]) if b"iCCP" in found else None,
        b"acTL" in found,
        complete,
    )


def _damaged(what: str) -> TruncatedImageError:
    return TruncatedImageError(f"the PNG image is truncated or damaged: it has {what}; send the whole file")


def _named(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace")


def _profile(body: bytes) -> bytes | None:
    """The ICC profile of an iCCP chunk: a name, a compression, the profile; None where it cannot be unpacked.

    A profile that is damaged stays bytes here: whoever uses it says what is wrong.
    """
    _, found, rest = body.partition(b"\0")
    return _inflated(rest[1:], MAX_PROFILE_BYTES) if found and rest[:1] == b"\0" else None


def _inflated(content: bytes, limit: int) -> bytes | None:
    """At most `limit` bytes of a zlib stream; None where there are more, or it is damaged."""
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(content, limit + 1)
    except zlib.error:
        return None
    return inflated if len(inflated) <= limit else None


def _exif_of_text(kind: bytes, body: bytes) -> bytes:
    """The EXIF block that ImageMagick writes as a text: a name, a length, digits. Empty where it is none."""
    _, _, text = body.partition(b"\0")
    unpacked = _inflated(text[1:], LONGEST_TEXT) if kind == b"zTXt" else text[:LONGEST_TEXT]
    lines = re.match(rb"\s*\w+\s+\d+\s+([0-9a-fA-F\s]+)", unpacked or b"")
    digits = re.sub(rb"\s", b"", lines[1]) if lines else b""
    exif = bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
    start = exif.find(b"Exif\x00\x00")
    return exif[max(start, 0) :]


def _international_text(body: bytes) -> bytes:
    """What an iTXt chunk says: keyword, flags, language, translated keyword, text. Empty where it is damaged."""
    rest = body[len(_XMP) :]
    compressed, rest = rest[:1] == b"\x01", rest[2:]
    _, _, rest = rest.partition(b"\0")
    _, _, text = rest.partition(b"\0")
    return _inflated(text, LONGEST_TEXT) or b"" if compressed else text[:LONGEST_TEXT]
