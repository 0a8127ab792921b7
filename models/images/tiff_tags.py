"""TIFF tags: what a file says of its pixels, which layouts are read, and bounds on how it may be cut up."""

import struct
from dataclasses import dataclass
from typing import Final

from clpips.models.images.bounds import (
    MAX_METADATA_BYTES,
    MAX_PROFILE_BYTES,
    MAX_STRIPS,
    MAX_TILE_PIXELS,
)
from clpips.models.images.directory import Directory, read_directory
from clpips.models.images.errors import PixelTypeError, TooCostlyError, TruncatedImageError, require_at_most

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES, PLANAR = 273, 277, 278, 279, 284
GROUP_3_OPTIONS, PALETTE, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 292, 320, 322, 323, 324, 325
ORIENTATION, INKS, EXTRAS, FORMATS, SUBSAMPLING, REFERENCE, PROFILE = 274, 332, 338, 339, 530, 532, 34675
KIND, SUB_DIRECTORIES, COEFFICIENTS, DNG_VERSION = 254, 330, 529, 50706

REDUCED: Final = 1  # a kind of image: a smaller version of another one in the file
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, BY_PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
UNCOMPRESSED, RUNS, GROUP_3, GROUP_4, JPEG = 1, 2, 3, 4, 7
ASSOCIATED, UNASSOCIATED = 1, 2  # kinds of alpha
RATIONAL: Final = 5  # a type: two integers, a number of parts and of how many a whole has
_COMPRESSIONS: Final = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000}
_PHOTOMETRICS: Final = {
    4: "a transparency mask",
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "the raw sensor data of a camera",
    32844: "LogL",
    32845: "LogLuv",
    34892: "the raw sensor data of a camera",
}
_FORMATS: Final = {
    2: "signed integers",
    3: "floats",
    4: "samples of no type",
    5: "complex integers",
    6: "complex floats",
}
_USUAL_COLOURS: Final = {COEFFICIENTS: (0.299, 0.587, 0.114), REFERENCE: (0, 255, 128, 255, 128, 255)}  # of YCbCr
_COLOURS: Final = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, BY_PALETTE: 1, CMYK: 4, YCBCR: 3}
_NAMES: Final = {0: "grey", 1: "grey", RGB: "RGB", BY_PALETTE: "palette", CMYK: "CMYK", YCBCR: "YCbCr"}
_DEPTHS: Final = {
    WHITE_IS_ZERO: (1, 2, 4, 8, 16),
    BLACK_IS_ZERO: (1, 2, 4, 8, 12, 16),
    RGB: (8, 16),
    BY_PALETTE: (1, 2, 4, 8),
    CMYK: (8, 16),
    YCBCR: (8,),
}


@dataclass(frozen=True, slots=True)
class TiffFile:
    """What the first directory of a TIFF says of its image. A layout that is not read has been refused."""

    directory: Directory
    width: int
    height: int
    bits: int  # of each sample
    samples: int  # of each pixel, alpha and others included
    photometric: int
    compression: int
    planar: bool  # each sample in a plane of its own
    fill_order: int  # 2: the lowest bit of a byte comes first
    alpha: int  # ASSOCIATED, UNASSOCIATED, or 0 for none
    tile: tuple[int, int]  # width and height of a strip or tile
    tiled: bool
    offsets: tuple[int, ...]  # of strips or tiles
    sizes: tuple[int, ...] | None  # their bytes

    @property
    def tiles(self) -> int:
        """Strips or tiles of one plane."""
        width, height = self.tile
        return -(-self.width // width) * -(-self.height // height)

    @property
    def orientation(self) -> int:
        named = self.directory.first(ORIENTATION)
        return named if named is not None and 1 <= named <= 8 else 1

    @property
    def profile(self) -> bytes | None:
        profile = self.directory.raw(PROFILE)
        return profile if profile and len(profile) <= MAX_PROFILE_BYTES else None


def read_tiff(content: bytes) -> TiffFile:
    """What the file says. Raises `TruncatedImageError`, `PixelTypeError` or `TooCostlyError`."""
    try:
        directory = read_directory(content)
    except TooCostlyError:
        raise
    except ValueError as error:
        raise damaged("no directory of its tags") from error
    require_at_most(
        MAX_METADATA_BYTES,
        sum(entry.nbytes for tag, entry in directory.entries.items() if tag not in _PLACES),
        "bytes of metadata",
    )
    _require_no_preview(directory)
    width, height = directory.integer(WIDTH), directory.integer(HEIGHT)
    if width is None or height is None:
        raise damaged("no width or no height")
    compression = _one(directory, COMPRESSION, UNCOMPRESSED)
    if compression not in _COMPRESSIONS:
        raise PixelTypeError(
            f"the TIFF image is in compression {compression}, which is not read; save it with LZW or as PNG"
        )
    samples, bits, alpha = _layout(directory)
    tiled = TILE_OFFSETS in directory.entries
    tile = (width, min(_one(directory, ROWS_PER_STRIP, height), height))
    if tiled:
        tile = (_one(directory, TILE_WIDTH, 0), _one(directory, TILE_HEIGHT, 0))
    planar = samples > 1 and _one(directory, PLANAR, 1) == 2
    tiff = TiffFile(
        directory,
        width,
        height,
        bits,
        samples,
        _one(directory, PHOTOMETRIC, BLACK_IS_ZERO),
        compression,
        planar,
        _one(directory, FILL_ORDER, 1),
        alpha,
        tile,
        tiled,
        _places(directory, TILE_OFFSETS if tiled else STRIP_OFFSETS),
        directory.integers(TILE_BYTES if tiled else STRIP_BYTES),
    )
    _require_readable(tiff)
    return tiff


_PLACES: Final = {STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES}


def damaged(what: str) -> TruncatedImageError:
    return TruncatedImageError(f"the TIFF image is truncated or damaged: it has {what}; send the whole file")


def _require_no_preview(directory: Directory) -> None:
    """Raise `PixelTypeError` where the first picture is the small one with which raw files of cameras begin."""
    raw = DNG_VERSION in directory.entries or SUB_DIRECTORIES in directory.entries
    if raw and (directory.first(KIND) or 0) & REDUCED:
        raise PixelTypeError(
            "the TIFF image is the raw file of a camera, which is not read: its first picture is a preview; develop it "
            "and send the result as JPEG or PNG"
        )


def _one(directory: Directory, tag: int, default: int) -> int:
    """The value of a tag of one integer; the default where it is absent. Raises `TruncatedImageError`."""
    if tag not in directory.entries:
        return default
    values = directory.integers(tag)
    if not values:
        raise damaged(f"no sound value of tag {tag}")
    return values[0]


def _places(directory: Directory, tag: int) -> tuple[int, ...]:
    entry = directory.entries.get(tag)
    if entry is not None:
        require_at_most(MAX_STRIPS, entry.count, "strips or tiles")
    places = directory.integers(tag)
    if not places:
        raise damaged("no pixels")
    return places


def _layout(directory: Directory) -> tuple[int, int, int]:
    """Samples a pixel, bits a sample, and the kind of alpha. Raises `PixelTypeError` for layouts that are not read."""
    photometric = _one(directory, PHOTOMETRIC, BLACK_IS_ZERO)
    if photometric not in _COLOURS:
        name = _PHOTOMETRICS.get(photometric, f"colours of kind {photometric}")
        raise PixelTypeError(f"the TIFF image holds {name}, which is not read; save it as RGB with 8 or 16 bits")
    colours = _COLOURS[photometric]
    samples = _one(directory, SAMPLES, colours if photometric == YCBCR else 1)
    bits = set((directory.integers(BITS) or (1,))[:samples])
    extras = directory.integers(EXTRAS) or ()
    formats = set((directory.integers(FORMATS) or (1,))[:samples])
    described = f"{samples} samples of {' and '.join(map(str, sorted(bits)))} bits ({_NAMES[photometric]})"
    if formats != {1}:
        kinds = " and ".join(_FORMATS.get(kind, f"samples of type {kind}") for kind in sorted(formats - {1}))
        raise PixelTypeError(f"the TIFF image holds {kinds}, in {described}; save it as 8-bit or 16-bit RGB or grey")
    further = samples - colours
    # Four samples of RGB without a word about the fourth are RGBA, as common writers mean it.
    alpha = extras[0] if extras else (UNASSOCIATED if (photometric, further) == (RGB, 1) else 0)
    alpha = alpha if alpha in {ASSOCIATED, UNASSOCIATED} and further else 0
    depth = bits.pop() if len(bits) == 1 else 0
    sound = depth in _DEPTHS[photometric] and 0 <= further <= 3 and (not extras or len(extras) == further)
    if further and (
        depth < 8 or photometric in {WHITE_IS_ZERO, YCBCR} or (colours == 1 and (depth == 16 or further > 1))
    ):
        sound = False
    if alpha and (photometric == CMYK or (photometric == BY_PALETTE and alpha == ASSOCIATED)):
        sound = False
    if _one(directory, INKS, 1) != 1 or not sound:
        raise PixelTypeError(
            f"the TIFF image has {described}{', further ones' if further > 0 else ''}: a layout that is not read; "
            "save it as RGB or grey with 8 or 16 bits, without further channels"
        )
    return samples, depth, alpha


def require_sound_tiles(tiff: TiffFile) -> None:
    """Raise `TruncatedImageError` or `TooCostlyError` where strips or tiles are not what the image's size needs."""
    width, height = tiff.tile
    if not (width > 0 and height > 0):
        raise damaged("strips or tiles of no size")
    if tiff.tiled:
        require_at_most(max(MAX_TILE_PIXELS, tiff.width * tiff.height), width * height, "pixels in a tile")
    expected = tiff.tiles * (tiff.samples if tiff.planar else 1)
    if len(tiff.offsets) < expected:
        raise damaged(f"{len(tiff.offsets):,} strips or tiles, where its size needs {expected:,}")
    if tiff.sizes is not None and tiff.compression != UNCOMPRESSED:
        ends = [place + size for place, size in zip(tiff.offsets, tiff.sizes, strict=False)][:expected]
        if max(ends, default=0) > len(tiff.directory.content):
            raise damaged("strips or tiles that end behind its last byte")


def _require_readable(tiff: TiffFile) -> None:
    """Raise `PixelTypeError` for what decoders disagree about."""
    if tiff.photometric == YCBCR and tiff.compression != JPEG:
        sampled = tiff.directory.integers(SUBSAMPLING) or (2, 2)
        if sampled != (1, 1) or tiff.planar:
            raise PixelTypeError("the TIFF image holds YCbCr at several resolutions without JPEG; save it as RGB")
        if tiff.compression == UNCOMPRESSED and not all(_as_usual(tiff.directory, tag) for tag in _USUAL_COLOURS):
            raise PixelTypeError(
                "the TIFF image holds YCbCr of other colours than JPEG's, uncompressed; save it as RGB"
            )
    if tiff.bits == 12 and tiff.compression != UNCOMPRESSED:
        raise PixelTypeError("the TIFF image has 12 bits a sample, compressed, which is not read; save it with 16 bits")
    if tiff.fill_order == 2 and tiff.compression >= 34925:
        raise PixelTypeError("the TIFF image has its bits in reverse, compressed; save it with LZW or as PNG")
    if tiff.compression == JPEG and tiff.bits != 8:
        raise PixelTypeError(f"the TIFF image holds a JPEG of {tiff.bits} bits, which is not read; save it with 8")


def _as_usual(directory: Directory, tag: int) -> bool:
    """Whether a tag of YCbCr is absent or says what holds without it."""
    usual = _USUAL_COLOURS[tag]
    entry, packed = directory.entries.get(tag), directory.raw(tag)
    if entry is None or packed is None or (entry.kind, entry.count) != (RATIONAL, len(usual)):
        return entry is None
    parts = struct.unpack(f"{directory.order}{2 * len(usual)}I", packed)
    return all(
        abs(part - value * whole) <= whole / 1000
        for part, whole, value in zip(parts[::2], parts[1::2], usual, strict=True)
    )
