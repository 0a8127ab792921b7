"""Large images on a CPU: the same numbers as others get, in little more memory than their features take."""

import sys
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from clpips.models.engines.onnx import OnnxEngine
from clpips.models.engines.onnx_alexnet import LARGE_PIXELS
from clpips.models.metric import distance
from clpips.models.metric.distance import aligned_distances
from tests.support.pictures import picture

SIDE: Final = 2048
LAYERS_SHARE: Final = 0.75  # bytes beside the features for each byte of these, at most


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


@pytest.fixture(scope="module")
def engine() -> OnnxEngine:
    return OnnxEngine(threads=2)


def test_a_large_image_gets_the_features_that_the_arenas_session_gives(engine: OnnxEngine) -> None:
    side = int(LARGE_PIXELS**0.5) + 1
    image = picture(5, side)
    (expected,) = engine._alexnet.embed([image])
    (found,) = engine.embed([image])
    np.testing.assert_array_equal(found.buffer, expected.buffer)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is told by Linux: run this on Linux")
def test_a_large_image_takes_little_more_memory_than_its_features(engine: OnnxEngine) -> None:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    engine.embed([image])  # which opens the session
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
    (features,) = engine.embed([image])
    assert _memory("VmHWM") - before < features.nbytes * (1 + LAYERS_SHARE)


def test_distances_are_the_same_however_many_channels_are_compared_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    sides = [[rng.random((c, 9, 11), np.float32) for c in (64, 192, 384, 256, 256)] for _ in range(2)]
    expected = aligned_distances(*sides)
    for most in (1, 7 * 99, 100 * 99):
        monkeypatch.setattr(distance, "LARGE_ELEMENTS", most)
        np.testing.assert_array_equal(aligned_distances(*sides), expected)
