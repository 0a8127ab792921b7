"""Files that cost more than they look, and files whose pixels are easily got wrong."""

import struct
from collections.abc import Callable
from typing import Final

from loadtest.hostile.case import Case, Suite, expect
from loadtest.hostile.making import chunk, png
from loadtest.hostile.service import Service
from loadtest.kit.client import pair_body
from loadtest.kit.pictures import Pictures

SOUND: Final = next(Pictures(64, "png"))


def refused(name: str, make: Callable[[], bytes], *words: str) -> Case:
    """The file is refused with 422, in words that name what is wrong; others are served meanwhile."""

    async def check(service: Service) -> None:
        reply = await service.send(pair_body(SOUND, make()))
        expect(reply.status == 422, f"the answer is {reply.status}: {reply.content[:300]!r}")
        detail = reply.json()["errors"][0]["detail"]
        missing = [word for word in words if word not in detail]
        expect(not missing, f"{detail!r} does not say {missing}")
        reply = await service.send(pair_body(SOUND, SOUND))
        expect(reply.status == 200, f"a sound pair gets {reply.status} afterwards")

    return Case(name, check)


def _long_png() -> bytes:
    side = 32 * 2**20
    return png(side, 1, b"\0" * (3 * side + 1))


CASES: Final = [
    refused("a PNG of 33,554,432 × 1 pixels", _long_png, "33554432×1"),
    refused(
        "a PNG of a million empty chunks", lambda: png(8, 8, bytes(8 * 25), before=chunk(b"teSt") * 10**6), "chunks"
    ),
    refused("a BMP of 60,000 × 60,000 pixels", lambda: _bmp(60_000, 60_000), "60000×60000"),
]


def _bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


SUITE: Final = Suite("files", CASES)
