"""TIFF decoding: uncompressed samples are read here, compressed ones by libtiff through Pillow.

Pillow's own reader of uncompressed files takes some layouts for others. libtiff gets a directory of those tags that
pixels need, and no other, behind the file that it stands for.
"""

import io
import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clpips.models.images import tiff_tags as tags
from clpips.models.images.directory import CLASSIC
from clpips.models.images.errors import TruncatedImageError, require_at_most
from clpips.models.images.jpeg_decoding import PADDING
from clpips.models.images.jpeg_segments import decodable, read_jpeg
from clpips.models.images.outline import Outline
from clpips.models.images.packing import unpack_12, unpack_small
from clpips.models.images.tiff_tags import TiffFile, damaged, read_tiff, require_sound_tiles

_TURNED_BYTES: Final = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)), bitorder="little").tobytes()
_DECODABLE: Final = frozenset(
    {
        *(tags.WIDTH, tags.HEIGHT, tags.BITS, tags.COMPRESSION, tags.PHOTOMETRIC, tags.STRIP_OFFSETS),
        *(tags.SAMPLES, tags.ROWS_PER_STRIP, tags.STRIP_BYTES, tags.PLANAR, tags.PALETTE, tags.TILE_WIDTH),
        *(tags.TILE_HEIGHT, tags.TILE_OFFSETS, tags.TILE_BYTES, tags.INKS, tags.EXTRAS, tags.FORMATS),
        *(tags.SUBSAMPLING, tags.REFERENCE),
        *(tags.GROUP_3_OPTIONS, 293),  # options of facsimile compressions
        317,  # predictor
        347,  # tables of JPEG
        *(529, 531),  # coefficients and position of YCbCr
    }
)


# Compressions of which libtiff decodes what there is, and says nothing of what is missing.
_LENIENT: Final = {tags.RUNS, tags.GROUP_3, tags.GROUP_4, tags.JPEG}
_LONG8: Final = {16, 18}  # types of values that a classic TIFF does not have


def outline_tiff(content: bytes) -> Outline:
    """The file's outline. Raises `TruncatedImageError`, `PixelTypeError` or `TooCostlyError`."""
    tiff = read_tiff(content)
    return Outline(tiff.width, tiff.height, lambda: _decode(content, tiff), tiff.orientation, tiff.profile)


def _decode(content: bytes, tiff: TiffFile) -> Image.Image:
    require_sound_tiles(tiff)
    if tiff.compression == tags.UNCOMPRESSED:
        return _image(_samples(content, tiff), tiff)
    if tiff.fill_order == 2 and tiff.compression != tags.JPEG:
        content = _reversed(content, tiff)
    if tiff.planar:
        planes = [np.asarray(_by_libtiff(content, tiff, _plane(tiff, number))) for number in range(tiff.samples)]
        return _image(np.stack(planes, axis=-1), tiff)
    image = _by_libtiff(content, tiff, {})
    if tiff.photometric == tags.WHITE_IS_ZERO and tiff.bits == 16:
        return Image.fromarray(65535 - np.asarray(image).astype(np.uint16))
    if tiff.photometric == tags.BY_PALETTE:
        image.putpalette(_palette(tiff).tobytes())
    if tiff.alpha == tags.ASSOCIATED:
        return Image.frombytes(image.mode.replace("A", "a"), image.size, image.tobytes())
    return image


def _image(samples: NDArray[Any], tiff: TiffFile) -> Image.Image:
    """Samples `(h, w, samples)` as Pillow's image."""
    if tiff.bits == 12:
        samples = samples << 4
    if tiff.bits == 16 and tiff.photometric not in {tags.WHITE_IS_ZERO, tags.BLACK_IS_ZERO}:
        samples = (samples >> 8).astype(np.uint8)
    if tiff.photometric in {tags.WHITE_IS_ZERO, tags.BLACK_IS_ZERO}:
        if tiff.bits < 8:
            samples = samples * (255 // (2**tiff.bits - 1))
        if tiff.photometric == tags.WHITE_IS_ZERO:
            samples = np.iinfo(samples.dtype).max - samples
    if tiff.photometric == tags.BY_PALETTE:
        samples = np.concatenate([_palette(tiff)[samples[..., 0]], samples[..., 1:]], axis=2)
    colours = {tags.CMYK: 4, tags.RGB: 3, tags.BY_PALETTE: 3, tags.YCBCR: 3}.get(tiff.photometric, 1)
    samples = np.ascontiguousarray(samples[..., : colours + bool(tiff.alpha)])
    if tiff.photometric == tags.CMYK or tiff.photometric == tags.YCBCR:
        mode = "CMYK" if tiff.photometric == tags.CMYK else "YCbCr"
    else:
        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
        if tiff.alpha == tags.ASSOCIATED:
            mode = mode.replace("A", "a")
    if samples.dtype == np.uint16:
        return Image.fromarray(samples[..., 0])
    return Image.frombytes(mode, (tiff.width, tiff.height), samples.tobytes())


def _palette(tiff: TiffFile) -> NDArray[np.uint8]:
    """The palette, `(256, 3)`. Its levels have 16 bits; some writers mean 8, and none of theirs is above 255."""
    count = 2**tiff.bits
    stored = tiff.directory.integers(tags.PALETTE)
    if stored is None or len(stored) < 3 * count:
        raise damaged("colours by number, and no whole palette")
    levels = np.array(stored[: 3 * count], np.uint32).reshape(3, count).T  # (colours, 3)
    colours = np.zeros((256, 3), np.uint8)
    colours[:count] = levels >> 8 if levels.max() > 255 else levels
    return colours


def _samples(content: bytes, tiff: TiffFile) -> NDArray[Any]:
    """The samples of an uncompressed file, uint8 or uint16 `(h, w, samples)`, as they are stored."""
    width, height = tiff.tile
    planes, each = (tiff.samples, 1) if tiff.planar else (1, tiff.samples)
    stride = (width * each * tiff.bits + 7) // 8
    across, down = -(-tiff.width // width), -(-tiff.height // height)
    stored = np.zeros((tiff.height, tiff.width, tiff.samples), np.uint8 if tiff.bits <= 8 else np.uint16)
    for number, place in enumerate(tiff.offsets[: across * down * planes]):
        plane, index = divmod(number, across * down)
        top, left = index // across * height, index % across * width
        rows = min(height, tiff.height - top)
        size = rows * stride
        if place + size > len(content) or (tiff.sizes and number < len(tiff.sizes) and tiff.sizes[number] < size):
            raise damaged("fewer rows than its size needs")
        packed = np.frombuffer(content, np.uint8, size, place).reshape(rows, stride)
        unpacked = _unpacked(packed, width * each, tiff).reshape(rows, width, each)
        part = stored[top : top + rows, left : left + width]
        part[..., plane : plane + each] = unpacked[:, : part.shape[1]]
    return stored


def _unpacked(packed: NDArray[np.uint8], count: int, tiff: TiffFile) -> NDArray[Any]:
    """Samples `(rows, count)` of rows of bytes."""
    if tiff.bits == 16:
        return np.ascontiguousarray(packed).view(tiff.directory.order + "u2").astype(np.uint16)
    if tiff.fill_order == 2:
        packed = np.frombuffer(packed.tobytes().translate(_TURNED_BYTES), np.uint8).reshape(packed.shape)
    if tiff.bits == 8:
        return packed
    return unpack_12(packed, count) if tiff.bits == 12 else unpack_small(packed, tiff.bits)[:, :count]


def _reversed(content: bytes, tiff: TiffFile) -> bytes:
    """The file with the bits of each byte of its strips or tiles in the usual order."""
    turned = bytearray(content)
    for place, size in set(zip(tiff.offsets, tiff.sizes or (), strict=False)):
        turned[place : place + size] = content[place : place + size].translate(_TURNED_BYTES)
    return bytes(turned)


Replaced = dict[int, tuple[int, ...]]  # tags, and the integers that they have in place of their own; none: no such tag


def _by_libtiff(content: bytes, tiff: TiffFile, replaced: Replaced) -> Image.Image:
    """The image of libtiff. Raises what Pillow raises, and `TruncatedImageError` where coded pixels are missing.

    libtiff fills in what a JPEG or a facsimile lacks, and tells nobody. It is found out as in a JPEG: further bytes
    behind each strip or tile change nothing where it is whole.
    """
    image = _load(_for_libtiff(content, tiff, replaced))
    if tiff.compression in _LENIENT and tiff.sizes:
        padded = _load(_for_libtiff(*_padded(content, tiff, replaced)))
        if padded.tobytes() != image.tobytes():
            raise damaged("fewer coded pixels than its size needs")
    return image


def _load(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content), formats=("TIFF",))
    image.load()
    return image


def _padded(content: bytes, tiff: TiffFile, replaced: Replaced) -> tuple[bytes, TiffFile, Replaced]:
    """The file, and behind it its strips or tiles once more, each with further bytes; and the tags that name these."""
    offsets_tag, sizes_tag = _place_tags(tiff)
    offsets, sizes = replaced.get(offsets_tag, tiff.offsets), replaced.get(sizes_tag, tiff.sizes or ())
    parts = list(zip(offsets, sizes, strict=False))[: tiff.tiles]
    require_at_most(2 * len(content), sum(size for _, size in set(parts)), "bytes in strips or tiles that overlap")
    further = bytearray(content)
    padded: dict[tuple[int, int], tuple[int, int]] = {}  # of some writers several are the same
    for place, size in parts:
        if (place, size) in padded:
            continue
        strip = content[place : place + size]
        strip = decodable(read_jpeg(strip), PADDING) if tiff.compression == tags.JPEG else strip + _facsimile_rows(tiff)
        padded[place, size] = len(further), len(strip)
        further += strip
    places, lengths = zip(*(padded[part] for part in parts), strict=True)
    return bytes(further), tiff, {**replaced, offsets_tag: places, sizes_tag: lengths}


def _facsimile_rows(tiff: TiffFile) -> bytes:
    """Coded pixels that may follow in a facsimile: two rows of stripes, three pixels of white and three of black."""
    stripes = tiff.tile[0] // 6 + 1
    if tiff.compression == tags.GROUP_4:
        bits = "1" * 24 + 2 * stripes * "001100010"  # a code that is cut short ends somewhere within the ones
    elif tiff.compression == tags.GROUP_3:
        in_two_dimensions = (tiff.directory.integer(tags.GROUP_3_OPTIONS) or 0) & 1
        mark = "000000000001" + "1" * in_two_dimensions  # where a row begins; the 1 says that it is coded alone
        bits = 2 * (mark + stripes * "100010") + mark
    else:
        return PADDING
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def _place_tags(tiff: TiffFile) -> tuple[int, int]:
    """The tags that say where strips or tiles begin, and how long they are."""
    return (tags.TILE_OFFSETS, tags.TILE_BYTES) if tiff.tiled else (tags.STRIP_OFFSETS, tags.STRIP_BYTES)


def _plane(tiff: TiffFile, number: int) -> Replaced:
    """The tags of an image of one sample of each pixel, grey, in a file that has a plane for each."""
    tiles = tiff.tiles
    part = slice(number * tiles, (number + 1) * tiles)
    sizes = (tiff.sizes or ())[part]
    offsets_tag, sizes_tag = _place_tags(tiff)
    return {
        tags.BITS: (tiff.bits,),
        tags.SAMPLES: (1,),
        tags.PHOTOMETRIC: (tags.BLACK_IS_ZERO,),
        tags.PLANAR: (1,),
        offsets_tag: tiff.offsets[part],
        sizes_tag: sizes,
        **dict.fromkeys((tags.PALETTE, tags.INKS, tags.EXTRAS, tags.FORMATS), ()),
    }


def _for_libtiff(content: bytes, tiff: TiffFile, replaced: Replaced) -> bytes:
    """The file with a directory of `_DECODABLE` tags at its end, in place of its own.

    A BigTIFF becomes a classic one: Pillow does not know those with the highest byte first.
    """
    order = tiff.directory.order
    fields: dict[int, tuple[int, int, bytes]] = {}  # tag: type, count, packed values
    long_values: Replaced = {}
    for tag, entry in tiff.directory.entries.items():
        if tag in _DECODABLE and tag not in replaced:
            packed = tiff.directory.raw(tag)
            if packed is None:
                raise damaged(f"a value of tag {tag} behind its last byte")
            fields[tag] = entry.kind, entry.count, packed
            if entry.kind in _LONG8:
                long_values[tag] = tiff.directory.integers(tag) or ()
    for tag, values in (long_values | _replaced(tiff) | replaced).items():
        if values:
            kind, letter = (3, "H") if max(values) < 2**16 else (4, "I")
            fields[tag] = kind, len(values), struct.pack(f"{order}{len(values)}{letter}", *values)
    padded = content + bytes(-len(content) % 8)
    values_at = len(padded) + 2 + len(fields) * 12 + 4
    entries, outside = b"", bytearray()
    for tag, (kind, count, packed) in sorted(fields.items()):
        field = packed.ljust(4, b"\0")
        if len(packed) > 4:
            field = struct.pack(order + "I", values_at + len(outside))
            outside += packed + bytes(-len(packed) % 8)
        entries += struct.pack(order + "HHI", tag, kind, count) + field
    if values_at + len(outside) >= 2**32:
        raise TruncatedImageError("the TIFF image is too long; save it as PNG")
    directory = struct.pack(order + "H", len(fields)) + entries + bytes(4) + bytes(outside)
    return padded[:2] + struct.pack(order + "HI", CLASSIC, len(padded)) + padded[8:] + directory


def _replaced(tiff: TiffFile) -> Replaced:
    """Tags that Pillow is to take for others, and that are dealt with here."""
    replaced: Replaced = {tags.FILL_ORDER: (1,)}
    if (tiff.photometric, tiff.bits) == (tags.WHITE_IS_ZERO, 16):
        replaced[tags.PHOTOMETRIC] = (tags.BLACK_IS_ZERO,)
    if tiff.alpha == tags.ASSOCIATED:  # Pillow divides by it, and loses half a level
        extras = tiff.directory.integers(tags.EXTRAS) or ()
        replaced[tags.EXTRAS] = (tags.UNASSOCIATED, *extras[1:])
    return replaced
