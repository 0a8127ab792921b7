"""Files that cost more than they look, files whose pixels are easily got wrong, and files that are something else."""

import asyncio
import io
import os
import signal
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageCms

from loadtest.hostile import making
from loadtest.hostile.case import Case, Suite, expect
from loadtest.hostile.making import chunk, encode, picture, png, tiff
from loadtest.hostile.processes import processes_of
from loadtest.hostile.service import Service
from loadtest.kit.client import Reply, pair_body, rank_body
from loadtest.kit.pictures import Pictures

SOUND: Final = next(Pictures(64, "png"))
SAME: Final = 0.02  # the largest distance of two files that show the same, where one is lossy or converted
PICTURE: Final = picture(96)


async def _serves_others(service: Service) -> None:
    reply = await service.send(pair_body(SOUND, SOUND))
    expect(reply.status == 200, f"a sound pair gets {reply.status} afterwards")


def _detail(reply: Reply) -> str:
    detail: str = reply.json()["errors"][0]["detail"]
    return detail


def refused(name: str, make: Callable[[], bytes], *words: str) -> Case:
    """The file is refused with 422, in words that name what is wrong; others are served afterwards."""

    async def check(service: Service) -> None:
        reply = await service.send(pair_body(SOUND, make()))
        expect(reply.status == 422, f"the answer is {reply.status}: {reply.content[:300]!r}")
        missing = [word for word in words if word not in _detail(reply)]
        expect(not missing, f"{_detail(reply)!r} does not say {missing}")
        await _serves_others(service)

    return Case(name, check)


def shows(name: str, make: Callable[[], bytes], want: Callable[[], Image.Image], *, within: float = 0.0) -> Case:
    """The file shows a picture: their distance is at most `within`."""

    async def check(service: Service) -> None:
        reply = await service.send(pair_body(encode(want(), "PNG"), make()))
        expect(reply.status == 200, f"the answer is {reply.status}: {reply.content[:300]!r}")
        distance = reply.json()["distances"][0]
        expect(distance <= within, f"the distance to what it shows is {distance}, at most {within} is right")

    return Case(name, check)


def survived(name: str, make: Callable[[], bytes], statuses: set[int], seconds: float = 60.0) -> Case:
    """Whatever comes of the file, it is one of these statuses, and others are served afterwards."""

    async def check(service: Service) -> None:
        reply = await service.send(pair_body(SOUND, make()))
        expect(reply.status in statuses, f"the answer is {reply.status}: {reply.content[:300]!r}")
        await _serves_others(service)

    return Case(name, check, seconds)


# --- what costs more than it looks ------------------------------------------------------------------------------------


def _bmp(width: int, height: int, *rest: int) -> bytes:
    fields = (40, width, height, 1, *(rest or (24, 0)), 0, 0, 0, 0, 0)
    return b"BM" + making.struct.pack("<IHHI", 54, 0, 0, 54) + making.struct.pack("<IiiHHIIiiII", *fields)


COSTLY: Final = [
    refused("a PNG of 33,554,432 × 1 pixels", making.long_png, "33554432×1", "side"),
    refused("a BMP of runs of 33,554,432 × 1 pixels", lambda: making.runs(2**25, 1, b"\xff\0" * 400), "pixels"),
    refused("a PNG of 60,000 × 60,000 pixels", lambda: png(60_000, 60_000, bytes(1000)), "60000×60000"),
    refused("a BMP of 60,000 × 60,000 pixels", lambda: _bmp(60_000, 60_000), "60000×60000"),
    refused("a GIF of 65,535 × 65,535 pixels", lambda: _stretched_gif(), "65535×65535"),
    refused("a WebP of 16,384 × 16,384 pixels", lambda: _stretched_webp(), "16384×16384"),
    refused("a TIFF of 60,000 × 60,000 pixels", lambda: _stretched_tiff(), "60000×60000"),
    refused("a .npy of 60,000 × 60,000 pixels", lambda: _npy_head((60_000, 60_000, 3)), "60000×60000"),
    refused("a PNG of a million empty chunks", lambda: png(8, 8, bytes(200), before=chunk(b"teSt") * 10**6), "chunks"),
    refused("a PNG of a million empty pixel chunks", lambda: _empty_pixel_chunks(), "chunks of pixels"),
    refused("a JPEG of 1,000 scans", lambda: making.many_scans(1000), "scans"),
    refused("a JPEG of 90 scans of 16 million pixels", lambda: making.many_scans(85, 4096), "pixels in all its scans"),
    refused("a JPEG of 20,000 EXIF segments", lambda: making.many_segments(20_000), "segments"),
    refused("a TIFF of 64² inside a tile of 16,384²", making.large_tile, "pixels in a tile"),
    refused("a TIFF of 1.5 million strips", lambda: making.many_strips(1_500_000), "strips"),
    refused("a TIFF of 60,000 tags", lambda: _many_tags(60_000), "tags"),
    refused("a TIFF of 500 tags of one region of 16 MB", lambda: _overlapping_tags(), "bytes of metadata"),
    refused("a GIF of a million comments", lambda: making.nested_gif(10**6), "blocks"),
    refused("a WebP of 100,000 chunks", lambda: _many_webp_chunks(100_000), "chunks"),
    refused("a BMP of runs of 16 million pixels", lambda: making.runs(4096, 4096, b"\1\0" * 100), "pixels in runs"),
    survived("a PNG whose pixels inflate a thousandfold", lambda: png(4096, 4096, bytes(3 * 4096**2 + 4096)), {200}),
    survived("a PNG whose stream goes on behind its pixels", lambda: png(64, 64, bytes(10**8)), {200, 422}),
    survived("a BMP of four million runs", lambda: making.runs(2048, 2048, b"\1\x7f" * 2**22), {200, 422}),
    survived("a BMP of four million steps", lambda: making.runs(2048, 2048, b"\0\2\0\0" * 2**22), {200, 422, 504}),
    survived("a JPEG of 95 scans of 4 million pixels", making.slow, {200, 422, 504}),
    survived("a profile that inflates to 100 MB", lambda: _profile_chunk(bytes(10**8)), {200}),
    survived("a GIF whose first frame is 8 million pixels", lambda: _flat(4096, 2048, "GIF"), {200}),
    survived("a WebP of 16 million pixels", lambda: _flat(4096, 4096, "WEBP"), {200}),
    survived("an AVIF of 8 million pixels", lambda: _flat(4096, 2048, "AVIF", speed=10), {200}),
    survived("a JPEG of 32 million pixels", lambda: _flat(8192, 4096, "JPEG"), {200}),
    survived("a progressive JPEG of 16 million pixels", lambda: _flat(4096, 4096, "JPEG", progressive=True), {200}),
]


def _stretched_gif() -> bytes:
    content = bytearray(encode(picture(32).quantize(16), "GIF"))
    content[6:10] = b"\xff" * 4
    return bytes(content)


def _stretched_webp() -> bytes:
    content = bytearray(encode(picture(32), "WEBP", exif=b"Exif\0\0II*\0" + bytes(8)))
    content[24:30] = (16383).to_bytes(3, "little") * 2
    return bytes(content)


def _stretched_tiff() -> bytes:
    content = encode(picture(32), "TIFF", compression="tiff_lzw")
    for tag in (256, 257):
        place = content.rindex(making.struct.pack("<HHI", tag, 3, 1))
        content = content[: place + 8] + making.struct.pack("<I", 60_000) + content[place + 12 :]
    return content


def _npy_head(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _empty_pixel_chunks() -> bytes:
    content = png(8, 8, bytes(200))
    return content[:33] + chunk(b"IDAT") * 10**6 + content[33:]


def _many_tags(count: int) -> bytes:
    tags: list[making.Tag] = [(tag, 3, [1]) for tag in range(256, 256 + count)]
    return tiff(tags, bytes(64))


def _overlapping_tags() -> bytes:
    content = bytearray(
        tiff([(256, 4, [8]), (257, 4, [8]), *((tag, 1, bytes(8)) for tag in range(40000, 40500))], bytes(2**24))
    )
    for tag in range(40000, 40500):
        place = content.index(making.struct.pack("<HHI", tag, 1, 8), 2**24)
        content[place + 4 : place + 12] = making.struct.pack("<II", 2**24, 8)
    return bytes(content)


def _many_webp_chunks(count: int) -> bytes:
    content = encode(picture(32), "WEBP", exif=b"Exif\0\0II*\0" + bytes(8))
    body = content[8:] + b"teSt\0\0\0\0" * count
    return b"RIFF" + making.struct.pack("<I", len(body)) + body


def _profile_chunk(profile: bytes) -> bytes:
    return png(64, 64, bytes(64 * 193), before=chunk(b"iCCP", b"p\0\0" + making.zlib.compress(profile, 9)))


def _flat(width: int, height: int, name: str, **options: object) -> bytes:
    return encode(Image.new("RGB", (width, height), "teal"), name, **options)


# --- pixels -----------------------------------------------------------------------------------------------------------


def _grey() -> Image.Image:
    return PICTURE.convert("L")


def _turned(name: str, tags: dict[int, object] | None = None) -> bytes:
    exif = Image.Exif()
    for tag, value in (tags or {}).items():
        exif[tag] = value
    exif[0x0112] = 6
    return encode(PICTURE.transpose(Image.Transpose.ROTATE_90), name, exif=exif.tobytes(), **_best(name))


def _best(name: str) -> dict[str, object]:
    return {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}, "AVIF": {"quality": 100}}.get(
        name, {}
    )


def _unwritable_exif() -> bytes:
    """An EXIF block in which a number stands where text is meant, so that it cannot be written back."""
    entries = making.struct.pack("<HHII", 0x0112, 3, 1, 6) + making.struct.pack("<HHI4s", 0x011A, 2, 4, b"abc\0")
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
    content[6:10] = making.struct.pack("<HH", 128, 128)
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
    return content[:33] + chunk(b"zTXt", b"Comment\0\0" + making.zlib.compress(bytes(2**24), 9)) + content[33:]


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
    refused("a TIFF of floats", lambda: _tiff_of(bytes(96 * 96 * 4), 32, 1, formats=[3]), "floats"),
    refused("a TIFF of 32-bit integers", lambda: _tiff_of(bytes(96 * 96 * 4), 32, 1), "32 bits"),
    refused("a TIFF of CIELab", lambda: _tiff_of(bytes(96 * 96 * 3), 8, 8, 3), "CIELab"),
    refused("a TIFF of a camera's sensor", lambda: _tiff_of(bytes(96 * 96 * 2), 16, 32803), "camera"),
    refused("a TIFF whose rows end early", lambda: _tiff_of(bytes(1000), 8, 1), "fewer rows"),
    refused("a BMP whose rows end early", lambda: _bmp(64, 64) + bytes(1000), "fewer rows"),
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
    refused(f"a file that is {words}", lambda content=content: content, words, "send PNG")  # type: ignore[misc]
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


# --- processes --------------------------------------------------------------------------------------------------------


async def _ended_decoders(service: Service) -> None:
    """Every process of the service but itself is killed: images are decoded all the same."""
    for process in processes_of(service.pid):
        if process != service.pid:
            os.kill(process, signal.SIGKILL)
    for seed in range(4):
        reply = await service.send(pair_body(SOUND, encode(picture(64, 100 + seed), "JPEG")))
        expect(reply.status == 200, f"the answer is {reply.status}: {reply.content[:300]!r}")


async def _slow_beside_others(service: Service) -> None:
    """Files that take seconds stand in line; plain files are answered meanwhile."""
    slow = making.slow()
    tasks = [asyncio.create_task(service.send(pair_body(SOUND, slow + bytes([number])))) for number in range(4)]
    await asyncio.sleep(0.5)  # until they are being decoded
    pictures = Pictures(256, "png", seed=77)
    for _ in range(3):
        reply = await service.send(rank_body(next(pictures), pictures.take(2)))
        expect(reply.status == 200 and reply.seconds < 5.0, f"a ranking got {reply.status} in {reply.seconds:.1f} s")
    for reply in await asyncio.gather(*tasks):
        expect(reply.status in {200, 422, 504}, f"a slow file got {reply.status}")


async def _gone_clients(service: Service) -> None:
    """Clients send files that take seconds, and go: their decoders are ended, and nobody waits for them."""
    body = pair_body(SOUND, making.slow())
    for number in range(4):
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        content = body.content + b"\r\n" * number
        head = f"POST /distance HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {body.content_type}\r\n"
        writer.write(head.encode() + f"Content-Length: {len(content)}\r\n\r\n".encode() + content)
        await writer.drain()
        writer.close()
    await _serves_others(service)


async def _logs_are_lines(service: Service) -> None:
    """Whatever decoders said so far stands in the log as JSON."""
    reply = await service.send(pair_body(SOUND, encode(PICTURE, "PNG", icc_profile=b"a damaged profile")))
    expect(reply.status == 200, f"the answer is {reply.status}")
    for _ in range(50):
        if any(line.get("event") == "a decoder says" for line in service.log()):
            return
        await asyncio.sleep(0.1)  # another process writes it
    expect(condition=False, complaint="the log has no word of a damaged profile")


PROCESSES: Final = [
    Case("every decoder is killed", _ended_decoders),
    Case("slow files beside plain ones", _slow_beside_others, 90.0),
    Case("clients of slow files that go away", _gone_clients, 60.0),
    Case("what decoders say is JSON", _logs_are_lines),
]

SUITE: Final = Suite("files", [*COSTLY, *PIXELS, *OTHERS, *PROCESSES])
