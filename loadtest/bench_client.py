"""The refinement loop through clpips-client, against hand-written httpx that sends everything each time.

    python -m loadtest.bench_client [--rounds 7] [--side 1024] [--iterations 10]

A round is a session: one target, then iterations of which each adds an image, in memory as generators leave it, and
ranks all so far. The hand-written loops are three of those that a tool's author writes in ten lines: PNG files, which
is what the baseline is, encoded once and kept; `.npy` of all pixels; and `.npy` of what the author resizes to 256 x 256
first, having read of the scoring resolution, once. None of them sends a name instead of an image: that needs the
handling of 409. In each round each contender has new images, in turn with the others, on one running service. Printed
are the median of a session's seconds with its quartiles, the megabytes that it sent, and how many times as long it took
as the client's session did in the same round.
"""

import argparse
import io
import time
from collections.abc import Callable

import httpx
import numpy as np
from clpips_client import Client
from numpy.typing import NDArray
from PIL import Image

from loadtest.kit.contenders import clpips
from loadtest.kit.pictures import Pictures

Session = Callable[[str, list[Image.Image]], int]  # the address and the images, the target first → bytes sent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--iterations", type=int, default=10)
    arguments = parser.parse_args()
    contenders: dict[str, Session] = {
        "session": by_session,
        "rank": by_rank,
        "httpx, PNG": lambda address, images: by_hand(address, images, "PNG"),
        "httpx, .npy": lambda address, images: by_hand(address, images, "npy"),
        "httpx, 256²": lambda address, images: by_hand(address, images, "small"),
    }
    count = 1 + arguments.iterations
    rng = np.random.default_rng(1)
    pictures = [np.load(io.BytesIO(one)) for one in Pictures(arguments.side, "npy", distinct=count).take(count)]
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    sent: dict[str, int] = {}
    server = clpips()
    server.start()
    try:
        address = f"http://127.0.0.1:{server.port}"
        for _ in range(arguments.rounds):
            for name, session in contenders.items():
                images = [Image.fromarray(_marked(picture, rng)) for picture in pictures]
                started = time.perf_counter()
                sent[name] = session(address, images)
                seconds[name].append(time.perf_counter() - started)
    finally:
        server.stop()
    ours = np.array(seconds["session"])
    for name, each in seconds.items():
        low, median, high = np.percentile(each, [25, 50, 75])
        ratios = np.percentile(np.array(each) / ours, [25, 50, 75])
        print(
            f"{name:14} {median:6.2f} s ({low:.2f}–{high:.2f}), {sent[name] / 1e6:7.1f} MB sent, "
            f"× {ratios[1]:.2f} ({ratios[0]:.2f}–{ratios[2]:.2f})"
        )


class Counting(httpx.HTTPTransport):
    """A transport that counts the bytes of bodies."""

    nbytes = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.nbytes += int(request.headers.get("content-length", 0))
        return super().handle_request(request)


def by_session(address: str, images: list[Image.Image]) -> int:
    """Through the client's session, which keeps what it has prepared."""
    wire = Counting()
    with Client(address, transport=wire) as client:
        session = client.session(images[0])
        for image in images[1:]:
            session.add(image)
    return wire.nbytes


def by_rank(address: str, images: list[Image.Image]) -> int:
    """Through the client's `rank`, which is given all images each time."""
    wire = Counting()
    with Client(address, transport=wire) as client:
        for count in range(2, len(images) + 1):
            client.rank(images[0], images[1:count])
    return wire.nbytes


def by_hand(address: str, images: list[Image.Image], form: str) -> int:
    """A session as one writes it in ten lines."""
    wire = Counting()
    contents: list[bytes] = []
    with httpx.Client(base_url=address, transport=wire, timeout=120) as client:
        for count in range(2, len(images) + 1):
            contents += [_encoded(image, form) for image in images[len(contents) : count]]
            files = [("target", contents[0]), *(("candidates", content) for content in contents[1:])]
            client.post("/rank", files=files).raise_for_status()
    return wire.nbytes


def _encoded(image: Image.Image, form: str) -> bytes:
    stream = io.BytesIO()
    if form == "small":
        image = image.resize((256, 256), Image.Resampling.BICUBIC)
    if form != "PNG":
        np.save(stream, np.asarray(image))
    else:
        image.save(stream, form)
    return stream.getvalue()


def _marked(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture with other pixels in a corner, so that no service has seen it."""
    marked = picture.copy()
    marked[:64, :64] = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return marked


if __name__ == "__main__":
    main()
