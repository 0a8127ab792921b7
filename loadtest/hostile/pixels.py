"""Files whose pixels are easily got wrong, and files that are something else than they seem."""

import io
import struct
import zlib
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms

from loadtest.hostile import making
from loadtest.hostile.case import Case
from loadtest.hostile.expectations import SAME, refused, shows
from loadtest.hostile.making import chunk, encode, picture, png, tiff

PICTURE: Final = picture(96)


def _grey() -> Image.Image:
    return PICTURE.convert("L")


def _turned(name: str, tags: dict[int, object] | None = None) -> bytes:
    exif = Image.Exif()
    for tag, value in (tags or {}).items():
        exif[tag] = value
    exif[0x0112] = 6
    return encode(PICTURE.transpose(Image.Transpose.ROTATE_90), name, exif=exif.tobytes(), **_best(name))


def _best(name: str) -> dict[str, Any]:
    """Options for as few losses as the format can have."""
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100},
    }
    return options.get(name, {})


def _unwritable_exif() -> bytes:
    """An EXIF block in which a number stands where text is meant, so that it cannot be written back."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0")
    return b"Exif\0\0II*\0\x08\0\0\0\x02\0" + entries + b"\0\0\0\0"


def _grey16(*, white_is_zero: bool, order: str = "<") -> bytes:
    levels = np.asarray(_grey()).astype(np.uint16) * 257
    stored = (65535 - levels if white_is_zero else levels).astype(order + "u2").tobytes()
    return _tiff_of(stored, 16, int(not white_is_zero), order=order)


_TAGS: Final = {"planar": 284, "extras": 338, "formats": 339, "orientation": 274}


def _tiff_of(
    stored: bytes, bits: int, photometric: int, samples: int = 1, order: str = "<", **further: list[int]
) -> bytes:
    """An uncompressed TIFF of 96² pixels in one strip."""
    tags: list[making.Tag] = [(256, 4, [96]), (257, 4, [96]), (258, 3, [bits] * samples), (259, 3, [1])]
    tags += [(262, 3, [photometric]), (273, 4, [8]), (277, 3, [samples]), (278, 4, [96]), (279, 4, [len(stored)])]
    tags += [(_TAGS[name], 3, values) for name, values in further.items()]
    return tiff(tags, stored, order=order)


def _turned_tiff() -> bytes:
    return _tiff_of(np.asarray(PICTURE.transpose(Image.Transpose.ROTATE_90)).tobytes(), 8, 2, 3, orientation=[6])


def _opaque_grey_tiff() -> bytes:
    """Grey with an associated alpha that covers everything."""
    samples = np.stack([np.asarray(_grey()), np.full((96, 96), 255, np.uint8)], axis=2)
    return _tiff_of(samples.tobytes(), 8, 1, 2, extras=[1])


def _preview() -> bytes:
    tags: list[making.Tag] = [(254, 4, [1]), (50706, 1, [1, 4, 0, 0])]
    tags += [(256, 4, [96]), (257, 4, [96]), (258, 3, [8] * 3), (262, 3, [2]), (273, 4, [8]), (277, 3, [3])]
    return tiff(tags, np.asarray(PICTURE).tobytes())


def _planar16() -> bytes:
    planes = np.moveaxis(np.asarray(PICTURE).astype("<u2") * 257, 2, 0)
    tags: list[making.Tag] = [(256, 4, [96]), (257, 4, [96]), (258, 3, [16] * 3), (259, 3, [1]), (262, 3, [2])]
    size = 96 * 96 * 2
    places: list[making.Tag] = [(273, 4, [8, 8 + size, 8 + 2 * size]), (279, 4, [size] * 3)]
    return tiff([*tags, *places, (277, 3, [3]), (278, 4, [96]), (284, 3, [2])], planes.tobytes())


def _transparent_grey(depth: int) -> tuple[bytes, Image.Image]:
    """A grey PNG of a depth, of which level 1 is transparent, and what it shows."""
    levels = np.asarray(_grey()) >> max(8 - depth, 0)
    shown = np.where(levels == 1, 255, levels * (255 // (2 ** min(depth, 8) - 1)))
    samples = (levels.astype(np.uint16) << 8 | 7) if depth == 16 else levels
    level = 1 << 8 | 7 if depth == 16 else 1
    if depth == 16:
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    else:
        bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=2)[..., -depth:].reshape(96, -1)
        rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(bits, axis=1))
    content = png(96, 96, rows, depth, 0, chunk(b"tRNS", level.to_bytes(2, "big")))
    return content, Image.fromarray(shown.astype(np.uint8))


def _partial_gif() -> bytes:
    content = bytearray(encode(PICTURE.quantize(64), "GIF"))
    content[6:10] = struct.pack("<HH", 128, 128)
    return bytes(content)


def _on_a_screen() -> Image.Image:
    screen = Image.new("RGB", (128, 128), "white")
    screen.paste(PICTURE.quantize(64).convert("RGB"))
    return screen


def _as_stored_by(profile: ImageCms.ImageCmsProfile) -> bytes:
    """The picture in the colours of a profile, which it carries."""
    stored = ImageCms.profileToProfile(PICTURE, ImageCms.createProfile("sRGB"), profile)
    assert stored is not None
    return encode(stored, "PNG", icc_profile=profile.tobytes())


def _wide_gamut() -> ImageCms.ImageCmsProfile:
    """A profile of sRGB's curve with red and green exchanged, so that whoever ignores it shows other colours."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = content.index(b"rXYZ"), content.index(b"gXYZ")
    content[red : red + 4], content[green : green + 4] = b"gXYZ", b"rXYZ"
    return ImageCms.ImageCmsProfile(io.BytesIO(bytes(content)))


def _long_text() -> bytes:
    content = encode(PICTURE, "PNG")
    return content[:33] + chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**24), 9)) + content[33:]


def _oriented(name: str) -> Case:
    return shows(f"an orientation in {name}", lambda: _turned(name), lambda: PICTURE, within=SAME)


def _transparent(depth: int) -> Case:
    content, shown = _transparent_grey(depth)
    return shows(f"a transparent level of a grey PNG of {depth} bits", lambda: content, lambda: shown)


PIXELS: Final = [
    *map(_oriented, ("JPEG", "PNG", "WEBP", "AVIF")),
    shows(
        "an orientation beside a tag that cannot be written",
        lambda: encode(PICTURE.transpose(Image.Transpose.ROTATE_90), "PNG", exif=_unwritable_exif()),
        lambda: PICTURE,
    ),
    shows("a TIFF's own orientation", _turned_tiff, lambda: PICTURE),
    shows("a 16-bit TIFF whose white is 0", lambda: _grey16(white_is_zero=True), _grey),
    shows("the same, highest byte first", lambda: _grey16(white_is_zero=True, order=">"), _grey),
    shows("a 16-bit TIFF whose black is 0", lambda: _grey16(white_is_zero=False, order=">"), _grey),
    shows("a 16-bit TIFF in planes", _planar16, lambda: PICTURE),
    shows("an 8-bit grey TIFF with associated alpha", _opaque_grey_tiff, _grey),
    *map(_transparent, (1, 2, 4, 8, 16)),
    shows("a GIF whose frame is smaller than its screen", _partial_gif, _on_a_screen),
    shows("the colours of an ICC profile", lambda: _as_stored_by(_wide_gamut()), lambda: PICTURE, within=SAME),
    shows("a profile that is damaged", lambda: encode(PICTURE, "PNG", icc_profile=b"no profile"), lambda: PICTURE),
    shows("a text of 16 MB in a PNG", _long_text, lambda: PICTURE),
    refused("a PNG whose rows end early", lambda: png(64, 64, bytes([0, *[9] * 192]) * 30), "rows are missing"),
    refused("a JPEG whose pixels end early", lambda: _short_jpeg(progressive=False), "missing"),
    refused("a progressive JPEG whose pixels end early", lambda: _short_jpeg(progressive=True), "missing"),
    refused("a JPEG without the scans of its colours", lambda: making.scans_apart(PICTURE, 1), "1 of its 3 components"),
    refused("a JPEG-LS", lambda: b"\xff\xd8" + making.segment(0xF7, b"\x08\0\x40\0\x40\1\1\x11\0"), "JPEG-LS"),
    refused("the preview in a camera's raw file", _preview, "camera"),
    refused("a TIFF of floats", lambda: _tiff_of(bytes(96 * 96 * 4), 32, 1, formats=[3]), "floats"),
    refused("a TIFF of 32-bit integers", lambda: _tiff_of(bytes(96 * 96 * 4), 32, 1), "32 bits"),
    refused("a TIFF of CIELab", lambda: _tiff_of(bytes(96 * 96 * 3), 8, 8, 3), "CIELab"),
    refused("a TIFF of a camera's sensor", lambda: _tiff_of(bytes(96 * 96 * 2), 16, 32803), "camera"),
    refused("a TIFF whose rows end early", lambda: _tiff_of(bytes(1000), 8, 1), "fewer rows"),
    refused("a BMP whose rows end early", lambda: making.bmp_head(64, 64) + bytes(1000), "fewer rows"),
    refused("a .npy of uint16", lambda: _npy(np.zeros((64, 64, 3), np.uint16)), ">> 8"),
    refused("a .npy of bool", lambda: _npy(np.zeros((64, 64, 3), np.bool_)), "* 255"),
    refused("a .npy of floats", lambda: _npy(np.zeros((64, 64, 3), np.float32)), "(x * 255)"),
    refused("a .npy of a batch", lambda: _npy(np.zeros((1, 64, 64, 3), np.uint8)), "x[0]"),
    refused("a .npy of objects", lambda: _npy(np.array([{}], object)), "never read"),
]


def _npy(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _short_jpeg(*, progressive: bool) -> bytes:
    content = encode(PICTURE, "JPEG", progressive=progressive, quality=95)
    return content[: len(content) * 3 // 5] + b"\xff\xd9"


# --- what is something else -------------------------------------------------------------------------------------------

OTHERS: Final = [
    refused(f"a file that is {words}", lambda content=content: content, words, "PNG, JPEG")  # type: ignore[misc]
    for words, content in {
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40),
        "JPEG XL": b"\xff\x0a" + bytes(40),
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "PDF": b"%PDF-1.7\n",
        "HTML": b"<!DOCTYPE html><html>502 Bad Gateway</html>",
        "ZIP": b"PK\x03\x04" + bytes(40),
        "base64": b"iVBORw0KGgoAAAANSUhEUgAAAAE",
        "Photoshop": b"8BPS\0\1" + bytes(40),
        "OpenEXR": b"v/1\x01" + bytes(40),
    }.items()
]
