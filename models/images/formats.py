"""File signatures (magic numbers): the formats that are read, told apart by their first bytes; names of others."""

import re
from typing import Final

PNG: Final = b"\x89PNG\r\n\x1a\n"
JPEG: Final = b"\xff\xd8\xff"
NPY: Final = b"\x93NUMPY"

_SIGNATURES: Final = {  # format, as Pillow names it: (offset, first bytes) of its files
    "PNG": ((0, PNG),),
    "JPEG": ((0, JPEG),),
    "WEBP": ((8, b"WEBP"),),
    "BMP": ((0, b"BM"),),
    "TIFF": ((0, b"II*\x00"), (0, b"MM\x00*"), (0, b"II+\x00"), (0, b"MM\x00+")),
    "GIF": ((0, b"GIF87a"), (0, b"GIF89a")),
}
FORMATS: Final = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF", "GIF")  # those that are decoded, `.npy` beside them

_AVIF: Final = frozenset({b"avif", b"avis"})  # brands, of which a file of the ISO base media format has several
_HEIF: Final = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"mif2", b"miaf"})
_OTHERS: Final = (  # (offset, first bytes): what it is, and what to do
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"II\xbc", "a JPEG XR image"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"\x00\x00\x01\x00", "an icon (ICO)"),
    (0, b"\x00\x00\x02\x00", "a cursor (CUR), or a Targa image"),
    (0, b"icns", "an icon (ICNS)"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"qoif", "a QOI image"),
    (0, b"v/1\x01", "an OpenEXR image of floats"),
    (0, b"#?RADIANCE", "a Radiance image of floats"),
    (0, b"#?RGBE", "a Radiance image of floats"),
    (0, b"farbfeld", "a farbfeld image"),
    (0, b"gimp xcf", "a GIMP document"),
    (0, b"\x8aMNG", "an MNG animation"),
    (0, b"\x8bJNG", "a JNG image"),
    (0, b"\x89PNG", "a PNG that was changed on its way, as texts are; send its bytes as they are"),
    (0, b"FUJIFILM", "the raw file of a camera"),
    (0, b"IIU\x00", "the raw file of a camera"),
    (0, b"FOVb", "the raw file of a camera"),
    (0, b"IIRO", "the raw file of a camera"),
    (0, b"\x1f\x8b", "compressed with gzip; unpack it and send the image"),
    (0, b"BZh", "compressed with bzip2; unpack it and send the image"),
    (0, b"\xfd7zXZ\x00", "compressed with xz; unpack it and send the image"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with Zstandard; unpack it and send the image"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; send one of the files in it"),
    (0, b"Rar!\x1a\x07", "a RAR archive; send one of the files in it"),
    (257, b"ustar", "a tar archive; send one of the files in it"),
    (0, b"PK\x03\x04", "a ZIP archive (.npz files are too); send one of the files in it"),
    (0, b"\x1aE\xdf\xa3", "a film (Matroska or WebM); send one of its frames"),
    (8, b"AVI ", "a film (AVI); send one of its frames"),
    (0, b"ID3", "sound (MP3)"),
    (0, b"OggS", "sound or a film (Ogg)"),
    (0, b"fLaC", "sound (FLAC)"),
    (0, b"RIFF", "a RIFF file of something else, such as sound"),
    (0, b"\x80\x04\x95", "a Python pickle, which is never read"),
    (0, b"\x80\x05\x95", "a Python pickle, which is never read"),
    (0, b"\x89HDF", "an HDF5 file"),
    (128, b"DICM", "a DICOM image"),
    (0, b"SIMPLE  =", "a FITS image"),
    (0, b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (0, b"AT&TFORM", "a DjVu document"),
)
_TEXTS: Final = (  # patterns at the beginning of texts
    (
        re.compile(rb"(?:<\?xml.{0,2000}?)?(?:<!--.{0,2000}?-->\s*)?(?:<!DOCTYPE svg.{0,500}?>\s*)?<svg", re.S | re.I),
        "an SVG drawing; render it and send the picture",
    ),
    (
        re.compile(rb"(?:<!--.{0,500}?-->\s*)?<(?:!doctype html|html|head|body)", re.S | re.I),
        "an HTML page, such as an error page in place of an image",
    ),
    (re.compile(rb"<\?xml|<[A-Za-z]+[ >]"), "XML"),
    (re.compile(rb"P[1-7]\s"), "a Netpbm image (PBM, PGM, PPM or PAM)"),
    (re.compile(rb"P[Ff]\s"), "a PFM image of floats"),
    (
        re.compile(rb"data:[\w.+-]+/[\w.+-]+[;,]", re.I),
        "a data: URL as text; send it in JSON, or the bytes that it encodes",
    ),
    (re.compile(rb"https?://", re.I), "a URL, which is not fetched; send the image itself"),
    (re.compile(rb"version https://git-lfs"), "a pointer of Git LFS; fetch the file with `git lfs pull` and send it"),
    (re.compile(rb"[{\[]\s*[\"\]{}\[\d]"), "JSON"),
    (
        re.compile(rb"(?:iVBORw0KGgo|/9j/|UklGR|R0lGOD|Qk[0-9])[A-Za-z0-9+/=\s]*"),
        "an image in base64 as text; send the bytes that it encodes",
    ),
)


def format_of(content: bytes) -> str | None:
    """The format whose files begin like `content`, one of `FORMATS`; None where there is none.

    >>> format_of(b"GIF89a...")
    'GIF'
    """
    for name, signatures in _SIGNATURES.items():
        if any(content.startswith(signature, offset) for offset, signature in signatures):
            return name
    return "AVIF" if _brands(content) & _AVIF else None


def name_of_other(content: bytes) -> str | None:
    """What a file of no format that is read is, by its first bytes, after "this is"; None where they do not tell.

    What to send in its place stands behind "; " where there is more to say than a format.

    >>> name_of_other(b"%PDF-1.7")
    'a PDF document'
    """
    if content[4:8] == b"ftyp":
        brands = _brands(content)
        if brands & _HEIF:
            return "a HEIC (HEIF) image, as phones save them"
        return "the raw file of a camera" if b"crx " in brands else "a film (MP4 or QuickTime); send one of its frames"
    for offset, signature, name in _OTHERS:
        if content.startswith(signature, offset):
            return name
    text = content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((name for pattern, name in _TEXTS if pattern.match(text)), None)


def _brands(content: bytes) -> frozenset[bytes]:
    """The brands of a file of the ISO base media format; none where it is no such file."""
    if content[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(content[:4], "big"), 1024)
    return frozenset({content[8:12]} | {content[place : place + 4] for place in range(16, end - 3, 4)})
