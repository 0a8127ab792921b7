"""The fast PNG decoder against Pillow: the same pixels, the same refusals, or not used."""

import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from clpips.models.images.decoding import decode
from clpips.models.images.errors import ImageError
from clpips.models.images.png import is_plain, open_plain_png
from clpips.models.images.png_chunks import read_png

pytest.importorskip("imgread", reason="needs imgread: pip install -e '.[decode]'")


def png(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def by_pillow(content: bytes) -> NDArray[np.uint8] | None:
    """What Pillow makes of it; None where it refuses."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            image.load()
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except Exception:  # noqa: BLE001
        return None


def ours(content: bytes) -> NDArray[np.uint8] | None:
    try:
        return decode(content)
    except ImageError:
        return None


def plain(content: bytes) -> bool:
    """Whether imgread decodes the file."""
    try:
        return is_plain(read_png(content))
    except ImageError:
        return False


def with_chunk(content: bytes, kind: bytes, data: bytes, *, late: bool = False) -> bytes:
    """The file with a chunk more: after the header, or (`late`) after the pixels."""
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    place = len(content) - 12 if late else 33
    return content[:place] + chunk + content[place:]


def smooth(height: int, width: int) -> NDArray[np.uint8]:
    ramp = np.add.outer(np.arange(height), np.arange(width))
    return np.stack([ramp, ramp * 2, ramp * 3], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("pixels", [noise(64, 48), smooth(301, 77), smooth(1, 1), noise(1, 500), noise(333, 1)])
@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_the_pixels_are_pillows(pixels: NDArray[np.uint8], level: int) -> None:
    content = png(pixels, compress_level=level)
    outline = read_png(content)
    assert (outline.width, outline.height) == (pixels.shape[1], pixels.shape[0])
    decoded = open_plain_png(content, outline)
    assert decoded is not None
    np.testing.assert_array_equal(decoded, pixels)


def test_texts_that_generators_write_do_not_make_it_slow() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat, steps: 20")
    info.add_text("workflow", "{}" * 5000)
    assert plain(png(noise(8, 8), pnginfo=info))


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"gAMA", struct.pack(">I", 100_000)),
        (b"sRGB", b"\x00"),
        (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"sBIT", b"\x05\x06\x05"),
        (b"bKGD", bytes(6)),
    ],
)
def test_chunks_about_colour_and_print_change_no_pixel(kind: bytes, data: bytes) -> None:
    pixels = noise(20, 30)
    content = with_chunk(png(pixels), kind, data)
    assert plain(content)
    np.testing.assert_array_equal(decode(content), pixels)


@pytest.mark.parametrize(
    "content",
    [
        png(noise(9, 9, channels=4)),
        png(noise(9, 9)[..., 0]),
        with_chunk(png(noise(9, 9)), b"tRNS", bytes(6)),
        with_chunk(png(noise(9, 9)), b"acTL", bytes(8)),
        png(noise(9, 9))[:-12],
        png(noise(9, 9))[:-1],
        b"\x89PNG\r\n\x1a\n",
        b"",
    ],
)
def test_whatever_is_odd_is_left_to_pillow(content: bytes) -> None:
    assert not plain(content)


def test_orientation_is_applied_wherever_it_stands() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = noise(12, 20)
    turned = decode(with_chunk(png(pixels), b"eXIf", exif.tobytes()[6:], late=True))
    np.testing.assert_array_equal(turned, np.rot90(pixels, -1))


def test_a_bomb_is_refused_before_its_pixels_are_decoded() -> None:
    with pytest.raises(ImageError, match="the limit is 100"):
        decode(png(noise(11, 10)), max_pixels=100)


def test_of_checksums_only_the_one_inside_the_stream_is_not_verified() -> None:
    content = png(noise(13, 17))
    adler = content.index(b"IEND") - 12  # the stream's last four bytes, before the chunk's own checksum
    chunk = bytearray(content[content.index(b"IDAT") : adler + 4])
    chunk[-1] ^= 1
    unsound = content[: content.index(b"IDAT")] + chunk + content[adler + 4 :]
    assert ours(unsound) is None
    sound = content[: content.index(b"IDAT")] + chunk + struct.pack(">I", zlib.crc32(chunk)) + content[adler + 8 :]
    np.testing.assert_array_equal(decode(sound), noise(13, 17))


@given(data=st.data(), seed=st.integers(0, 5))
@settings(max_examples=300, deadline=None)
def test_damaged_files_end_as_they_do_with_pillow(data: st.DataObject, seed: int) -> None:
    content = bytearray(png(noise(13, 17, seed)))
    if data.draw(st.booleans()):
        place = data.draw(st.integers(8, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[data.draw(st.integers(8, len(content))) :]
    expected, came = by_pillow(bytes(content)), ours(bytes(content))
    assert (expected is None) == (came is None)
    if expected is not None and came is not None:
        np.testing.assert_array_equal(came, expected)


@pytest.mark.parametrize("late", [False, True])
def test_imgread_inflates_no_profile(late: bool) -> None:
    squeezed = zlib.compressobj(9)
    bomb = b"".join(squeezed.compress(bytes(2**20)) for _ in range(512)) + squeezed.flush()
    content = with_chunk(png(noise(8, 8)), b"iCCP", b"p\0\0" + bomb, late=late)
    script = (
        "import resource, sys\n"
        "from clpips.models.images.decoding import decode\n"
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 2**10\n"
        "content = sys.stdin.buffer.read()\n"
        "before = most()\n"
        "assert decode(content).shape == (8, 8, 3)\n"
        "print(most() - before)\n"
    )
    told = subprocess.run([sys.executable, "-c", script], input=content, capture_output=True, check=True)
    assert int(told.stdout) < 64, "MiB that half a gigabyte of profile takes"
