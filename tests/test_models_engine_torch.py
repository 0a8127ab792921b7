"""The PyTorch engine beyond parity: what it prepares, where features lie, which images and pairs it refuses."""

from itertools import pairwise

import numpy as np
import pytest

from tests.support.pictures import picture, pictures

pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[torch]'")


from clpips.models.engines.pytorch.cuda_graphs import bucket_for, bucket_sizes
from clpips.models.engines.pytorch.engine import TorchEngine


def prepared(feature_bytes: int, largest: int = 2) -> TorchEngine:
    engine = TorchEngine()
    engine.prepare(64, largest, feature_bytes)
    return engine


def test_it_says_how_many_bytes_of_features_may_be_kept() -> None:
    assert TorchEngine().prepare(64, 2, 10_000_000) == 10_000_000


def test_images_of_its_size_take_slots_and_others_memory_of_their_own() -> None:
    engine = prepared(feature_bytes=10_000_000)
    assert [one.pooled for one in engine.embed(pictures(2, 64))] == [True, True]
    assert [one.pooled for one in engine.embed(pictures(2, 48))] == [False, False]


def test_a_full_pool_is_no_failure() -> None:
    engine = prepared(feature_bytes=0, largest=2)  # four slots, for two batches in use
    features = engine.embed(pictures(6))
    assert [one.pooled for one in features] == [True] * 4 + [False] * 2
    expected = TorchEngine().embed(pictures(6))
    assert engine.compare(features, features[::-1]) == pytest.approx(TorchEngine().compare(expected, expected[::-1]))


def test_reused_slots_hold_the_new_image() -> None:
    engine = prepared(feature_bytes=0, largest=1)  # two slots
    images = pictures(6)
    expected = engine.compare(TorchEngine().embed(images[:1]), TorchEngine().embed(images[5:]))
    for image in images[1:5]:
        engine.embed(image[np.newaxis])
    first, last = engine.embed(images[:1]), engine.embed(images[5:])
    assert engine.compare(first, last) == pytest.approx(expected, abs=1e-7)


def test_it_may_be_prepared_again_for_another_size() -> None:
    engine = prepared(feature_bytes=10_000_000)
    engine.prepare(48, 2, 10_000_000)
    assert engine.embed(pictures(1, 48))[0].pooled


def test_floats_are_refused() -> None:
    with pytest.raises(ValueError, match=r"float64\(64, 64, 3\)"):
        TorchEngine().embed(pictures(1) / 255)  # type: ignore[arg-type]


def test_images_of_unequal_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one size.*48.*64"):
        TorchEngine().embed([picture(0, 64), picture(1, 48)])


def test_images_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 31 pixels"):
        TorchEngine().embed(np.zeros((1, 30, 64, 3), np.uint8))


def test_pairs_of_unequal_sizes_are_refused_by_place() -> None:
    engine = TorchEngine()
    large, small = engine.embed(pictures(1, 64))[0], engine.embed(pictures(1, 48))[0]
    with pytest.raises(ValueError, match=r"pair 1 .* 64×64 and 48×48"):
        engine.compare([large, large], [large, small])


def test_pairs_of_different_sizes_may_stand_in_one_call() -> None:
    engine = TorchEngine()
    large, small = engine.embed(pictures(2, 64)), engine.embed(pictures(2, 48))
    mixed = engine.compare([large[0], small[0], large[1]], [large[1], small[1], large[1]])
    assert mixed[0] == pytest.approx(engine.compare(large[:1], large[1:])[0])
    assert mixed[1] == pytest.approx(engine.compare(small[:1], small[1:])[0])
    assert not mixed[2].any()


def test_buckets_are_the_powers_of_two_and_the_largest() -> None:
    assert bucket_sizes(16) == [1, 2, 4, 8, 16]
    assert bucket_sizes(12) == [1, 2, 4, 8, 12]
    assert bucket_sizes(1) == [1]


@pytest.mark.parametrize("largest", [1, 2, 12, 16, 100])
def test_each_batch_has_the_smallest_bucket_that_holds_it(largest: int) -> None:
    sizes = bucket_sizes(largest)
    assert all(lower < upper for lower, upper in pairwise(sizes))
    for count in range(1, largest + 1):
        assert bucket_for(count, largest) == min(size for size in sizes if size >= count)
