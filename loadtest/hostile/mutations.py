"""Random mutations of sound files of each format: each gives pixels or an error of an image, and none takes long.

    python -m loadtest.hostile.mutations [--count 2000] [--seed 0] [--only PNG,…]

Bytes are changed, removed, repeated and exchanged, numbers are set to what is at the end of their range, and checksums
of PNG chunks are mended, so that what lies behind them is reached. Exit code 1 where anything else comes of one; the
file is then kept under `reports/`.
"""

import argparse
import io
import random
import struct
import sys
import time
import traceback
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms

from clpips.models.images.decoding import load_image
from clpips.models.images.errors import ImageError
from loadtest.hostile.making import encode, picture

LONGEST_SECONDS: Final = 5.0  # of one file
MAX_PIXELS: Final = 2**20
SIDE: Final = 48
EXTREMES: Final = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\0\0\x40\0", b"\x01\0\0\0")
KEPT: Final = Path("reports") / "mutations"


def samples() -> dict[str, list[bytes]]:
    """Sound files of each format, of different kinds."""
    image = picture(SIDE)
    grey, palette, cmyk = image.convert("L"), image.quantize(32), image.convert("CMYK")
    see_through = image.copy()
    see_through.putalpha(grey)
    grey16 = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    told: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": profile}
    frames: dict[str, Any] = {"save_all": True, "append_images": [picture(SIDE, 1), picture(SIDE, 2)]}
    return {
        "PNG": [
            *(encode(one, "PNG") for one in (image, grey, palette, see_through, grey16, grey.convert("1"))),
            encode(image, "PNG", **told),
            encode(palette, "PNG", transparency=3),
            encode(grey, "PNG", transparency=100),
            encode(image, "PNG", **frames),
        ],
        "JPEG": [
            *(encode(one, "JPEG") for one in (image, grey, cmyk)),
            encode(image, "JPEG", progressive=True, **told),
            encode(image, "JPEG", subsampling=0, restart_marker_blocks=2),
        ],
        "WEBP": [
            encode(image, "WEBP"),
            encode(see_through, "WEBP", lossless=True, **told),
            encode(image, "WEBP", **frames),
        ],
        "AVIF": [encode(image, "AVIF", **told), encode(see_through, "AVIF")],
        "BMP": [encode(one, "BMP") for one in (image, grey, palette, see_through, grey.convert("1"))],
        "TIFF": [
            *(encode(one, "TIFF", compression=how) for how in (None, "tiff_lzw", "tiff_deflate", "packbits")
              for one in (image, grey, palette, see_through, cmyk, grey16)),
            encode(image, "TIFF", compression="jpeg"),
            encode(grey.convert("1"), "TIFF", compression="group4"),
            encode(image, "TIFF", **told),
        ],
        "GIF": [encode(palette, "GIF"), encode(palette, "GIF", transparency=3), encode(image, "GIF", **frames)],
        ".npy": [_npy(np.asarray(image)), _npy(np.asfortranarray(np.asarray(image)))],
    }  # fmt: skip


def mutations(name: str, files: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """So many mutations of the files of a format; the same for the same seed."""
    rng = random.Random(f"{name} {seed}")
    for _ in range(count):
        content = bytearray(rng.choice(files))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            _mutate(content, rng)
        yield mended(bytes(content)) if name == "PNG" and rng.random() < 0.7 else bytes(content)


def mended(content: bytes) -> bytes:
    """A PNG whose chunks have the checksums of what is in them."""
    fixed, place = bytearray(content), 8
    while place + 12 <= len(fixed):
        (length,) = struct.unpack_from(">I", fixed, place)
        end = place + 8 + length
        if end + 4 > len(fixed):
            break
        fixed[end : end + 4] = struct.pack(">I", zlib.crc32(bytes(fixed[place + 4 : end])))
        place = end + 4
    return bytes(fixed)


def _mutate(content: bytearray, rng: random.Random) -> None:
    """Change something: heads, where the meaning is, more often than pixels."""
    if len(content) < 16:
        return
    place = rng.randrange(min(len(content), 200)) if rng.random() < 0.6 else rng.randrange(len(content))
    size = rng.choice((1, 2, 4, 12, 40))
    match rng.randrange(7):
        case 0:
            content[place] ^= 1 << rng.randrange(8)
        case 1:
            content[place] = rng.randrange(256)
        case 2:
            extreme = rng.choice(EXTREMES)[: rng.choice((1, 2, 4))]
            content[place : place + len(extreme)] = extreme
        case 3:
            del content[place : place + size]
        case 4:
            content[place:place] = content[place : place + size] * rng.choice((1, 1, 3))
        case 5:
            other = rng.randrange(len(content))
            content[place : place + size] = content[other : other + size]
        case _:
            del content[rng.randrange(len(content)) :]


def fault_of(content: bytes) -> str:
    """What is wrong with what comes of a file; empty where nothing is."""
    started = time.monotonic()
    try:
        pixels = load_image(content, 32, MAX_PIXELS)
    except ImageError as error:
        if len(str(error)) < 20:
            return f"an error that says nothing: {error!r}"
    except Exception:  # noqa: BLE001 - any is one too many
        return traceback.format_exc()
    else:
        if pixels.shape != (32, 32, 3) or pixels.dtype != np.uint8:
            return f"pixels of shape {pixels.shape} and type {pixels.dtype}"
    seconds = time.monotonic() - started
    return f"it took {seconds:.1f} s" if seconds > LONGEST_SECONDS else ""


def _npy(array: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=2000, help="mutations of each format [default: 2000]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="formats, separated by commas")
    arguments = parser.parse_args()
    faults = 0
    for name, files in samples().items():
        if arguments.only and name not in arguments.only.split(","):
            continue
        started, found = time.monotonic(), 0
        for number, content in enumerate(mutations(name, files, arguments.count, arguments.seed)):
            if fault := fault_of(content):
                found += 1
                KEPT.mkdir(parents=True, exist_ok=True)
                (KEPT / f"{name.strip('.')}-{arguments.seed}-{number}").write_bytes(content)
                print(f"{name} {number}: {fault}", flush=True)
        faults += found
        print(f"{name:5} {arguments.count} mutations, {found} faults, {time.monotonic() - started:.0f} s", flush=True)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
