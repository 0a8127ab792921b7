"""JPEGs on the engine's device: first there, then on the host; refused where they cannot be, with the way out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from clpips.models.engines.contract import Engine, EngineError
from clpips.models.images.decoding import load_image
from clpips.models.images.jpeg import plain_jpeg_size
from clpips.models.metric.families import ALEXNET
from clpips.service.app import create_app
from clpips.service.settings import Settings
from tests.support.pictures import Pixels, encode, picture
from tests.support.services import FakeEngine, assert_problem, pointers, rank_body, scored, serving

JPEGS = [encode(picture(seed, 64), "JPEG") for seed in range(3)]


class FakeDecoder:
    """A device that decodes plain JPEGs, but for those that it `refuses`."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.refuses: list[bytes] = []

    def decode(self, files: Sequence[bytes], resolution: int | None, max_pixels: int) -> Sequence[Pixels | None]:
        assert (resolution, max_pixels) == (64, Settings().max_pixels)
        self.asked += files
        return [
            np.full((64, 64, 3), 7, np.uint8) if plain_jpeg_size(file) and file not in self.refuses else None
            for file in files
        ]


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder()


class SeeingEngine(FakeEngine):
    """An engine that remembers the pixels that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Pixels] = []

    def embed(self, images: Sequence[Any] | Pixels, *, more: bool = False, network: str = ALEXNET) -> Any:
        self.seen += list(images)
        return super().embed(images, network=network)


def rank(engine: Engine, jpegs: FakeDecoder | None, target: bytes, candidates: Sequence[bytes], **settings: Any) -> Any:
    with serving(engine, jpegs, **settings) as client:
        body, kind = rank_body("msgpack", target, candidates, resolution=64)
        reply = client.post("/rank", content=body, headers={"content-type": kind})
        metrics = client.get("/metrics").text
    return reply, metrics


def test_plain_jpegs_go_to_the_device_and_everything_else_to_the_host(decoder: FakeDecoder) -> None:
    engine = SeeingEngine()
    png = encode(picture(9, 64))
    reply, metrics = rank(engine, decoder, JPEGS[0], [JPEGS[1], png], jpeg_decoder="device")
    assert reply.status_code == 200
    assert sorted(decoder.asked) == sorted(JPEGS[:2])
    seen = engine.seen[-3:]
    assert sum((pixels == 7).all() for pixels in seen) == 2
    assert any(np.array_equal(pixels, load_image(png, 64)) for pixels in seen)
    assert 'clpips_stage_seconds_count{stage="jpeg"}' in metrics
    assert 'clpips_stage_seconds_count{stage="decode"} 1.0' in metrics


def test_what_the_device_refuses_is_scored_as_the_host_decodes_it(decoder: FakeDecoder) -> None:
    decoder.refuses = JPEGS
    refused, _ = rank(FakeEngine(), decoder, JPEGS[0], JPEGS[1:], jpeg_decoder="device")
    assert sorted(decoder.asked) == sorted(JPEGS)
    host, _ = rank(FakeEngine(), None, JPEGS[0], JPEGS[1:])
    assert scored(refused.json()) == scored(host.json())


def test_a_damaged_jpeg_gets_the_hosts_words(decoder: FakeDecoder) -> None:
    reply, _ = rank(FakeEngine(), decoder, JPEGS[0], [JPEGS[1], JPEGS[2][:400]], jpeg_decoder="device")
    problem = assert_problem(reply, 422, "bad-images")
    assert pointers(problem) == ["/candidates/1"]
    assert "truncated" in problem["errors"][0]["detail"]


def test_nothing_is_decoded_there_unless_it_is_asked_for(decoder: FakeDecoder) -> None:
    rank(FakeEngine(), decoder, JPEGS[0], JPEGS[1:])
    assert decoder.asked == []


def test_an_engine_without_it_is_refused_with_the_way_out(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"CLPIPS_JPEG_DECODER=device: the engine onnx .*CLPIPS_JPEG_DECODER=host"):
        create_app(Settings(jpeg_decoder="device"), engine)


def test_where_the_cpu_may_stand_in_the_host_decodes(engine: Engine) -> None:
    reply, _ = rank(engine, None, JPEGS[0], JPEGS[1:], jpeg_decoder="device", engine_fallback=True)
    assert reply.status_code == 200
