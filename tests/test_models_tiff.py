"""TIFF layouts: what is stored is what is shown, in every layout that is read; others are refused by name."""

import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from clpips.models.images.decoding import decode, image_size
from clpips.models.images.directory import read_directory
from clpips.models.images.errors import ImageError, PixelTypeError, TooCostlyError, TruncatedImageError
from loadtest.hostile.making import Tag, many_values, overlapping_strips, tiff
from tests.support.pictures import encode, picture

HEIGHT, WIDTH = 37, 53
Samples = NDArray[np.uint16]  # (h, w, samples)


class Layout(NamedTuple):
    """How samples are laid out in a file."""

    photometric: int
    bits: int
    samples: int
    extras: tuple[int, ...] = ()
    order: str = "<"
    planar: bool = False
    tile: tuple[int, int] | None = None  # width and height; None is strips of five rows
    fill_order: int = 1
    big: bool = False
    deflated: bool = False


def packed(rows: NDArray[np.uint16], bits: int, order: str) -> bytes:
    """Rows of samples `(rows, samples)`, each row from a byte of its own."""
    if bits == 16:
        return rows.astype(order + "u2").tobytes()
    ones = (rows[..., None] >> np.arange(bits - 1, -1, -1)) & 1  # (rows, samples, bits)
    return np.packbits(ones.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def file_of(stored: Samples, layout: Layout, further: tuple[Tag, ...] = ()) -> bytes:
    """A TIFF of the samples."""
    height, width, samples = stored.shape
    tile_width, tile_height = layout.tile or (width, 5)
    pieces = []
    planes = [stored[..., [plane]] for plane in range(samples)] if layout.planar else [stored]
    for plane in planes:
        for top, left in itertools.product(range(0, height, tile_height), range(0, width, tile_width)):
            piece = plane[top : top + tile_height, left : left + tile_width]
            if layout.tile:  # whole at the edges too
                missing = (tile_height - piece.shape[0], tile_width - piece.shape[1])
                piece = np.pad(piece, ((0, missing[0]), (0, missing[1]), (0, 0)))
            pieces.append(packed(piece.reshape(len(piece), -1), layout.bits, layout.order))
    if layout.deflated:
        pieces = [zlib.compress(piece) for piece in pieces]
    if layout.fill_order == 2:
        pieces = [np.packbits(np.unpackbits(np.frombuffer(p, np.uint8), bitorder="little")).tobytes() for p in pieces]
    start = 16 if layout.big else 8
    places = [start + sum(map(len, pieces[:number])) for number in range(len(pieces))]
    tags: list[Tag] = [
        *(
            (256, 4, [width]),
            (257, 4, [height]),
            (258, 3, [layout.bits] * samples),
            (259, 3, [8 if layout.deflated else 1]),
        ),
        *((262, 3, [layout.photometric]), (266, 3, [layout.fill_order]), (277, 3, [samples])),
        (284, 3, [2 if layout.planar else 1]),
        *(((338, 3, list(layout.extras)),) if layout.extras else ()),
        *further,
    ]
    if layout.tile:
        tags += [(322, 4, [tile_width]), (323, 4, [tile_height]), (324, 4, places), (325, 4, [*map(len, pieces)])]
    else:
        tags += [(273, 4, places), (278, 4, [tile_height]), (279, 4, [*map(len, pieces)])]
    return tiff(tags, b"".join(pieces), order=layout.order, big=layout.big)


def shown(stored: Samples, layout: Layout, palette: NDArray[np.uint8]) -> NDArray[np.int64]:
    """What the samples mean: RGB `(h, w, 3)`, by the specification and not by any decoder."""
    most = 2**layout.bits - 1
    colours = {5: 4, 2: 3}.get(layout.photometric, 1)
    high = (stored >> 8 if layout.bits == 16 else stored * 255 // most if layout.bits < 8 else stored).astype(np.int64)
    if layout.bits == 12:
        high = (stored >> 4).astype(np.int64)
    rgb = high[..., :colours]
    if layout.photometric == 0:
        rgb = 255 - rgb
    if layout.photometric == 3:
        rgb = palette[stored[..., 0]].astype(np.int64)
    if layout.photometric == 5:
        cmyk = Image.fromarray(np.ascontiguousarray(high[..., :4].astype(np.uint8)), "CMYK")
        rgb = np.asarray(cmyk.convert("RGB")).astype(np.int64)
    if rgb.shape[2] == 1:
        rgb = np.repeat(rgb, 3, axis=2)
    if layout.extras and layout.extras[0] in {1, 2}:
        alpha = high[..., colours : colours + 1]
        rgb = rgb + 255 - alpha if layout.extras[0] == 1 else np.rint(rgb * alpha / 255 + 255 - alpha).astype(np.int64)
    return rgb


def layouts() -> Iterator[Layout]:
    """Every layout that is read, in both byte orders, as strips and tiles, in one plane and several."""
    kinds = [
        *(Layout(white, bits, 1) for white in (0, 1) for bits in (1, 2, 4, 8, 16)),
        Layout(1, 12, 1),
        *(Layout(3, bits, 1) for bits in (1, 2, 4, 8)),
        *(Layout(1, 8, 2, (extra,)) for extra in (0, 1, 2)),
        *(Layout(3, 8, 2, (extra,)) for extra in (0, 2)),
        *(Layout(2, bits, 3) for bits in (8, 16)),
        *(Layout(2, bits, 4, (extra,)) for bits in (8, 16) for extra in (0, 1, 2)),
        *(Layout(2, 8, 5, (extra, 0)) for extra in (0, 1, 2)),
        *(Layout(5, bits, 4) for bits in (8, 16)),
        Layout(5, 8, 5, (0,)),
    ]
    for kind in kinds:
        for order, tile in itertools.product("<>", (None, (16, 32))):
            yield kind._replace(order=order, tile=tile)
        if kind.samples > 1:
            yield kind._replace(planar=True)
            yield kind._replace(planar=True, tile=(16, 16), order=">")
        if kind.bits <= 8:
            yield kind._replace(fill_order=2)
        yield kind._replace(big=True)
        if kind.bits == 12:
            continue
        for order, tile in itertools.product("<>", (None, (16, 32))):
            yield kind._replace(order=order, tile=tile, deflated=True)
        for order in "<>":
            yield kind._replace(big=True, order=order, deflated=True)
        if kind.samples > 1:
            yield kind._replace(planar=True, deflated=True)
            yield kind._replace(planar=True, tile=(16, 16), order=">", deflated=True)
        if kind.bits <= 8:
            yield kind._replace(fill_order=2, deflated=True)


def named(layout: Layout) -> str:
    return "-".join(f"{name}={value}" for name, value in layout._asdict().items())


@pytest.mark.parametrize("layout", [*layouts()], ids=named)
def test_what_is_stored_is_what_is_shown(layout: Layout) -> None:
    rng = np.random.default_rng(3)
    stored = rng.integers(0, 2**layout.bits, (HEIGHT, WIDTH, layout.samples)).astype(np.uint16)
    palette = rng.integers(0, 256, (2**layout.bits if layout.photometric == 3 else 1, 3), dtype=np.uint8)
    if layout.extras[:1] == (1,):  # no colour is above its alpha
        colours = layout.samples - len(layout.extras)
        stored[..., :colours] = np.minimum(stored[..., :colours], stored[..., colours : colours + 1])
    colour_map: Tag = (320, 3, (palette.T.astype(np.uint16) * 257).ravel().tolist())
    content = file_of(stored, layout, (colour_map,) if layout.photometric == 3 else ())
    difference = np.abs(decode(content) - shown(stored, layout, palette))
    # Compositing rounds half a level up or down, and 16-bit alpha has its high byte taken first.
    assert difference.max() <= (1 if layout.extras[:1] in {(1,), (2,)} else 0)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_compressed_file_shows_what_an_uncompressed_one_shows(compression: str, mode: str) -> None:
    image = Image.fromarray(picture(5, HEIGHT, WIDTH))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 201)
    elif mode in {"LA", "RGBA"}:
        image.putalpha(image.convert("L"))
        image = image.convert(mode)
    else:
        image = image.quantize(40) if mode == "P" else image.convert(mode)
    plain = decode(encode(image, "TIFF"))
    np.testing.assert_array_equal(decode(encode(image, "TIFF", compression=compression)), plain)


@pytest.mark.parametrize("white", [0, 1])
def test_16_bit_grey_is_inverted_where_white_is_0_compressed_or_not(white: int) -> None:
    grey = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) * 30
    content = encode(Image.fromarray(grey), "TIFF", compression="tiff_lzw", tiffinfo={262: white})
    expected = (65535 - grey if white == 0 else grey) >> 8
    np.testing.assert_array_equal(decode(content)[..., 0], expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_the_tag_itself_is_applied(orientation: int) -> None:
    pixels = picture(6, HEIGHT, WIDTH)
    content = file_of(pixels.astype(np.uint16), Layout(2, 8, 3), ((274, 3, [orientation]),))
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}
    mirrored = pixels[:, ::-1] if orientation in {2, 4, 5, 7} else pixels
    np.testing.assert_array_equal(decode(content), np.rot90(mirrored, turns[orientation]))
    assert image_size(content) == (WIDTH, HEIGHT)  # as stored


def test_levels_of_a_palette_that_end_at_255_are_8_bit() -> None:
    palette = np.random.default_rng(1).integers(0, 256, (256, 3))
    palette[0] = 255
    stored = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 1)).astype(np.uint16)
    content = file_of(stored, Layout(3, 8, 1), ((320, 3, palette.T.ravel().tolist()),))
    np.testing.assert_array_equal(decode(content), palette[stored[..., 0]])


REFUSED: dict[str, tuple[Layout, tuple[Tag, ...]]] = {
    "floats": (Layout(2, 16, 3), ((339, 3, [3, 3, 3]),)),
    "signed integers": (Layout(1, 8, 1), ((339, 3, [2]),)),
    "2 samples of 16 bits (grey)": (Layout(1, 16, 2, (2,)), ()),
    "CIELab": (Layout(8, 8, 3), ()),
    "a camera": (Layout(32803, 16, 1), ()),
    "12 bits a sample, compressed": (Layout(1, 12, 1, deflated=True), ()),
    "5 samples of 8 bits (CMYK)": (Layout(5, 8, 5, (2,)), ()),
    "several resolutions": (Layout(6, 8, 3), ()),
    "YCbCr of other colours": (
        Layout(6, 8, 3),
        ((530, 3, [1, 1]), (532, 5, struct.pack("<12I", 16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1))),
    ),
    "YCbCr of other colours than JPEG's": (
        Layout(6, 8, 3),
        ((530, 3, [1, 1]), (529, 5, struct.pack("<6I", 2126, 10_000, 7152, 10_000, 722, 10_000))),
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_other_layouts_are_refused_for_what_they_are(words: str) -> None:
    layout, further = REFUSED[words]
    stored = np.zeros((HEIGHT, WIDTH, layout.samples), np.uint16)
    with pytest.raises(PixelTypeError) as refusal:
        decode(file_of(stored, layout, further))
    assert words in str(refusal.value)
    assert "save it" in str(refusal.value)


def test_ycbcr_whose_tags_say_what_holds_without_them_is_read() -> None:
    usual: tuple[Tag, ...] = (
        (530, 3, [1, 1]),
        (529, 5, struct.pack("<6I", 299, 1000, 587, 1000, 114, 1000)),
        (532, 5, struct.pack("<12I", 0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)),
    )
    stored = np.full((HEIGHT, WIDTH, 3), 128, np.uint16)
    assert np.abs(decode(file_of(stored, Layout(6, 8, 3), usual)).astype(int) - 128).max() <= 1


@pytest.mark.parametrize("further", [(50706, 1, [1, 4, 0, 0]), (330, 4, [8])])
def test_the_preview_in_a_raw_file_of_a_camera_is_not_the_picture(further: Tag) -> None:
    stored = np.zeros((HEIGHT, WIDTH, 3), np.uint16)
    assert decode(file_of(stored, Layout(2, 8, 3), ((254, 4, [0]), further))).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(PixelTypeError, match="raw file of a camera"):
        decode(file_of(stored, Layout(2, 8, 3), ((254, 4, [1]), further)))


def test_an_unknown_compression_is_named() -> None:
    content = file_of(np.zeros((8, 8, 1), np.uint16), Layout(1, 8, 1))
    content = content.replace(b"\x03\x01\x03\x00\x01\x00\x00\x00\x01\x00", b"\x03\x01\x03\x00\x01\x00\x00\x00\x39\x30")
    with pytest.raises(PixelTypeError, match="compression 12345"):
        decode(content)


@pytest.mark.parametrize("length", [*range(8, 400, 7)])
def test_a_file_that_is_cut_off_is_refused_wherever(length: int) -> None:
    layout = Layout(2, 8, 3, order=">")
    content = file_of(picture(3, 12, 10).astype(np.uint16), layout)
    with pytest.raises(ImageError):
        decode(content[:length])


def test_rows_that_a_strip_does_not_have_are_missed() -> None:
    tags: list[Tag] = [(256, 4, [16]), (257, 4, [16]), (258, 3, [8]), (259, 3, [1]), (262, 3, [1]), (277, 3, [1])]
    content = tiff([*tags, (273, 4, [8]), (278, 4, [16]), (279, 4, [200])], bytes(256))
    with pytest.raises(TruncatedImageError, match="fewer rows"):
        decode(content)


@pytest.mark.parametrize("compression", ["jpeg", "group3", "group4", "tiff_ccitt"])
def test_coded_rows_that_a_strip_does_not_have_are_missed(compression: str) -> None:
    pixels = Image.fromarray(picture(3, 96, 80)).convert("RGB" if compression == "jpeg" else "1")
    content = encode(pixels, "TIFF", compression=compression)
    assert decode(content).shape == (96, 80, 3)
    entry = read_directory(content).entries[279]  # the bytes of its one strip
    letter = {3: "<H", 4: "<I"}[entry.kind]
    (size,) = struct.unpack_from(letter, content, entry.offset)
    shorter = bytearray(content)
    struct.pack_into(letter, shorter, entry.offset, size // 2)
    with pytest.raises(TruncatedImageError, match="damaged"):
        decode(bytes(shorter))


def test_values_and_overlapping_strips_that_take_far_more_than_the_file_are_too_costly() -> None:
    for content, words in ((many_values(100_000), "values of its tag 258"), (overlapping_strips(64, 9000), "overlap")):
        with pytest.raises(TooCostlyError, match=words):
            decode(content)


def test_a_strip_that_stands_for_several_is_sound() -> None:
    rows = encode(Image.new("1", (8, 2), 1), "TIFF", compression="group4")
    entries = read_directory(rows)
    place, size = (entries.integer(tag) or 0 for tag in (273, 279))
    tags: list[Tag] = [(256, 4, [8]), (257, 4, [4]), (258, 3, [1]), (259, 3, [4]), (262, 3, [1]), (278, 4, [2])]
    content = tiff([*tags, (273, 4, [8, 8]), (279, 4, [size] * 2)], rows[place : place + size])
    assert decode(content).shape == (4, 8, 3)


def test_tiles_and_strips_far_larger_or_more_than_the_image_needs_are_too_costly() -> None:
    tags: list[Any] = [(256, 4, [64]), (257, 4, [64]), (258, 3, [8]), (259, 3, [8]), (262, 3, [1]), (277, 3, [1])]
    with pytest.raises(TooCostlyError, match="pixels in a tile"):
        decode(tiff([*tags, (322, 4, [16384]), (323, 4, [16384]), (324, 4, [8]), (325, 4, [8])], bytes(8)))
    with pytest.raises(TooCostlyError, match="strips"):
        decode(tiff([*tags, (273, 4, [8] * 70_000), (278, 4, [1]), (279, 4, [8] * 70_000)], bytes(8)))
    with pytest.raises(TooCostlyError, match="tags"):
        decode(tiff([(tag, 3, [1]) for tag in range(256, 1300)], bytes(8)))
