"""What is expected of a file: that it is refused by name, or shows a picture, or that nobody else notices it."""

from collections.abc import Callable
from typing import Final

from PIL import Image

from loadtest.hostile.case import Case, expect
from loadtest.hostile.making import encode
from loadtest.hostile.service import Service
from loadtest.kit.client import Reply, pair_body
from loadtest.kit.pictures import Pictures

SOUND: Final = next(Pictures(64, "png"))
SAME: Final = 0.02  # the largest distance of two files that show the same, where one is lossy or converted


async def serves_others(service: Service) -> None:
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
        await serves_others(service)

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
        await serves_others(service)

    return Case(name, check, seconds)
