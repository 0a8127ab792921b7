"""Files that cost more than they look, and what they do to the processes that decode them."""

import asyncio
import io
import os
import signal
import struct
import sys
import zlib
from typing import Final

import msgspec
import numpy as np
from PIL import Image

from loadtest.hostile import making, mutations
from loadtest.hostile.case import Case, Suite, expect
from loadtest.hostile.expectations import SOUND, refused, serves_others, survived
from loadtest.hostile.making import chunk, encode, picture, png, tiff
from loadtest.hostile.pixels import OTHERS, PIXELS
from loadtest.hostile.processes import processes_of
from loadtest.hostile.service import Service
from loadtest.kit.client import Body, pair_body, rank_body
from loadtest.kit.pictures import Pictures

# --- what costs more than it looks ------------------------------------------------------------------------------------


COSTLY: Final = [
    refused("a PNG of 33,554,432 × 1 pixels", making.long_png, "33554432×1", "side"),
    refused("a BMP of runs of 33,554,432 × 1 pixels", lambda: making.runs(2**25, 1, b"\xff\0" * 400), "pixels"),
    refused("a PNG of 60,000 × 60,000 pixels", lambda: png(60_000, 60_000, bytes(1000)), "60000×60000"),
    refused("a BMP of 60,000 × 60,000 pixels", lambda: making.bmp_head(60_000, 60_000), "60000×60000"),
    refused("a GIF of 65,535 × 65,535 pixels", lambda: _stretched_gif(), "65535×65535"),
    refused("a WebP of 16,384 × 16,384 pixels", lambda: _stretched_webp(), "16384×16384"),
    refused("a TIFF of 60,000 × 60,000 pixels", lambda: _stretched_tiff(), "60000×60000"),
    refused("a .npy of 60,000 × 60,000 pixels", lambda: _npy_head((60_000, 60_000, 3)), "60000×60000"),
    refused("a PNG of a million empty chunks", lambda: png(8, 8, bytes(200), before=chunk(b"teSt") * 10**6), "chunks"),
    refused("a PNG of a million empty pixel chunks", lambda: _empty_pixel_chunks(), "chunks of pixels"),
    refused("a JPEG of 1,000 scans", lambda: making.many_scans(1000), "scans"),
    refused("a JPEG of 85 scans of 16 million pixels", lambda: making.many_scans(85, 4096), "pixels in all its scans"),
    refused("a JPEG of 20,000 EXIF segments", lambda: making.many_segments(20_000), "segments"),
    refused("a TIFF of 64² inside a tile of 16,384²", making.large_tile, "pixels in a tile"),
    refused("a TIFF of 1.5 million strips", lambda: making.many_strips(1_500_000), "strips"),
    refused("a TIFF of 60,000 tags", lambda: _many_tags(60_000), "tags"),
    refused("a TIFF of 500 tags of one region of 16 MB", lambda: _overlapping_tags(), "bytes of metadata"),
    refused("a TIFF of 32 million values of one tag", lambda: making.many_values(2**25 - 1000), "values"),
    refused("a TIFF of 32,768 strips that overlap", lambda: making.overlapping_strips(32_768, 200_000), "overlap"),
    refused("a GIF of a million comments", lambda: making.nested_gif(10**6), "blocks"),
    refused("a WebP of 100,000 chunks", lambda: _many_webp_chunks(100_000), "chunks"),
    refused("a BMP of runs of 16 million pixels", lambda: making.runs(4096, 4096, b"\1\0" * 100), "pixels in runs"),
    survived("a PNG whose pixels inflate a thousandfold", lambda: png(4096, 4096, bytes(3 * 4096**2 + 4096)), {200}),
    survived("a PNG whose stream goes on behind its pixels", lambda: png(64, 64, bytes(10**8)), {200, 422}),
    survived("a BMP of four million runs", lambda: making.runs(2048, 2048, b"\1\x7f" * 2**22), {200, 422}),
    survived("a BMP of four million steps", lambda: making.runs(2048, 2048, b"\0\2\0\0" * 2**22), {200, 422, 504}),
    survived("a JPEG of 90 scans of 8 million pixels", making.slow, {200, 422, 504}),
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
        place = content.rindex(struct.pack("<HHI", tag, 3, 1))
        content = content[: place + 8] + struct.pack("<I", 60_000) + content[place + 12 :]
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
        place = content.index(struct.pack("<HHI", tag, 1, 8), 2**24)
        content[place + 4 : place + 12] = struct.pack("<II", 2**24, 8)
    return bytes(content)


def _many_webp_chunks(count: int) -> bytes:
    content = encode(picture(32), "WEBP", exif=b"Exif\0\0II*\0" + bytes(8))
    body = content[8:] + b"teSt\0\0\0\0" * count
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _profile_chunk(profile: bytes) -> bytes:
    return png(64, 64, bytes(64 * 193), before=chunk(b"iCCP", b"p\0\0" + zlib.compress(profile, 9)))


def _flat(width: int, height: int, name: str, **options: object) -> bytes:
    return encode(Image.new("RGB", (width, height), "teal"), name, **options)


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


async def _hungry_at_once(service: Service) -> None:
    """Small files of few pixels that want much memory, one for each process: together they get little more than one."""
    hungry = making.many_restarts(45)
    for reply in await asyncio.gather(*(service.send(pair_body(SOUND, hungry + bytes([n]))) for n in range(4))):
        expect(reply.status in {200, 422, 503, 504}, f"a file that wants memory got {reply.status}")
    await serves_others(service)


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
    await serves_others(service)


async def _logs_are_lines(service: Service) -> None:
    """Whatever decoders said so far stands in the log as JSON."""
    reply = await service.send(pair_body(SOUND, encode(picture(64), "PNG", icc_profile=b"a damaged profile")))
    expect(reply.status == 200, f"the answer is {reply.status}")
    for _ in range(50):
        if any(line.get("event") == "a decoder says" for line in service.log()):
            return
        await asyncio.sleep(0.1)  # another process writes it
    expect(condition=False, complaint="the log has no word of a damaged profile")


async def _mutated_in_process(_: Service) -> None:
    """In a process without a service, where nothing catches what a decoder raises."""
    command = [sys.executable, "-m", "loadtest.hostile.mutations", "--count", "2000"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said = (await process.communicate())[0]
    expect(process.returncode == 0, said.decode()[-2000:])


async def _mutated_over_http(service: Service) -> None:
    """As candidates of rankings: what cannot be read is named, and nothing is a 500."""
    for name, files in mutations.samples().items():
        candidates = [*mutations.mutations(name, files, 60, seed=2)]
        content = msgspec.msgpack.encode({"target": SOUND, "candidates": candidates, "resolution": 64})
        reply = await service.send(Body("/rank", content, "application/vnd.msgpack"))
        expect(reply.status in {200, 422}, f"{name}: the answer is {reply.status}: {reply.content[:300]!r}")
        if reply.status == 422:
            errors = reply.json()["errors"]
            expect(all(len(error["detail"]) > 20 for error in errors), f"{name}: an error says nothing: {errors}")
    await serves_others(service)


PROCESSES: Final = [
    Case("2,000 mutations of each format", _mutated_in_process, 120.0),
    Case("60 mutations of each format over HTTP", _mutated_over_http, 60.0),
    Case("every decoder is killed", _ended_decoders),
    Case("slow files beside plain ones", _slow_beside_others, 90.0),
    Case("small files that want much memory, at once", _hungry_at_once, 90.0),
    Case("clients of slow files that go away", _gone_clients, 60.0),
    Case("what decoders say is JSON", _logs_are_lines),
]

SUITE: Final = Suite("files", [*COSTLY, *PIXELS, *OTHERS, *PROCESSES])
