"""Files that are not read are named for what they are, and those that are read only look like others."""

import numpy as np
import pytest

from clpips.models.images.decoding import decode
from clpips.models.images.errors import PixelTypeError, UnknownFormatError
from loadtest.hostile.making import segment
from tests.support.pictures import encode, picture

PIXELS = picture(11, 40, 56)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "film"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- by hand -->\n<svg/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"  <!DOCTYPE html>", "HTML"),
        (b'{"error": "not found"}', "JSON"),
        (b"P6\n4 4\n255\n", "Netpbm"),
        (b"data:image/png;base64,iVBO", "data: URL"),
        (b"iVBORw0KGgoAAAANSUhEUg==", "base64"),
        (b"PK\x03\x04", "ZIP"),
        (b"RIFF\0\0\0\0WAVEfmt ", "sound"),
        (b"\0\0\1\0\1\0", "ICO"),
        (b"fLaC", "sound"),
        (b"OggS", "sound"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x89PNG\n\x1a\n", "changed on its way"),
    ],
)  # fmt: skip
def test_what_is_no_image_that_is_read_is_named(content: bytes, words: str) -> None:
    with pytest.raises(UnknownFormatError) as refusal:
        decode(content + bytes(64))
    assert words in str(refusal.value)
    assert "PNG, JPEG, WebP" in str(refusal.value)


def test_what_to_do_with_a_file_that_is_not_read_is_one_sentence() -> None:
    with pytest.raises(UnknownFormatError) as refusal:
        decode(b"<svg xmlns='http://www.w3.org/2000/svg'/>" + bytes(64))
    assert str(refusal.value) == (
        "this is an SVG drawing, and no image in a format that is read: render it and send the picture, as PNG, JPEG, "
        "WebP, AVIF, BMP, TIFF, GIF or a uint8 .npy array"
    )


def test_an_avif_is_one_whatever_its_first_brand() -> None:
    content = encode(PIXELS, "AVIF")
    other = content[:8] + b"mif1" + content[12:]
    np.testing.assert_array_equal(decode(other), decode(content))


def test_jpegs_that_are_not_read_are_named() -> None:
    content = encode(PIXELS, "JPEG")
    frame = content.index(b"\xff\xc0")
    two = segment(0xC0, content[frame + 4 : frame + 9] + b"\2" + bytes(6))
    for name, changed in {
        "12 bits": content[: frame + 4] + b"\x0c" + content[frame + 5 :],
        "lossless": content[: frame + 1] + b"\xc3" + content[frame + 2 :],
        "2 components": content[:frame] + two + content[frame + 19 :],
        "JPEG-LS": content[: frame + 1] + b"\xf7" + content[frame + 2 :],
        "DNL": content[: frame + 5] + b"\0\0" + content[frame + 7 : -2] + b"\xff\xdc\0\4\0\x28\xff\xd9",
    }.items():
        with pytest.raises(PixelTypeError, match=name):
            decode(changed)
