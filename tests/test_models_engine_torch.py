"""The PyTorch engine beyond parity: its features' memory, what it does when memory runs out, its half precision."""

import gc
import logging
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from clpips.models.engines.opening import open_engine
from clpips.models.metric.backbone_file import load_backbone
from clpips.models.metric.distance import weigh
from clpips.models.metric.weights_files import load_weights
from tests.support.pictures import picture, variation

pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[torch]'")

import torch

from clpips.models.engines.pytorch.cuda_graphs import bucket_for, bucket_sizes
from clpips.models.engines.pytorch.engine import TorchEngine
from clpips.models.engines.pytorch.kernels import PlainKernels
from clpips.models.engines.pytorch.layout import layout_of
from clpips.models.engines.pytorch.memory import OutOfMemoryError, in_halves, largest_that_fits
from clpips.models.engines.pytorch.network import AlexNetTaps
from clpips.models.engines.pytorch.precision import compute_dtype, cpu_has_bfloat16
from clpips.models.engines.pytorch.slots import SlotPool, TorchFeatures

WEIGHTS = load_weights("lpips").values
Pixels = NDArray[np.uint8]


def pictures(count: int, side: int = 64) -> Pixels:
    return np.stack([picture(seed, side) for seed in range(count)])


class TestSlots:
    layout = layout_of(31, 31)

    def pool(self, slots: int) -> SlotPool:
        return SlotPool(self.layout, slots, torch.float32, "cpu")

    def test_a_full_pool_gives_nothing(self) -> None:
        pool = self.pool(2)
        held = [pool.take(), pool.take()]
        assert pool.take() is None
        assert all(held)

    def test_a_dropped_handle_frees_its_slot(self) -> None:
        pool = self.pool(1)
        first = pool.take()
        assert first is not None
        place = first.buffer.data_ptr()
        del first
        second = pool.take()
        assert second is not None
        assert second.buffer.data_ptr() == place

    def test_slots_do_not_overlap(self) -> None:
        pool = self.pool(3)
        held = [handle for handle in (pool.take() for _ in range(3)) if handle is not None]
        for value, handle in enumerate(held):
            handle.buffer.fill_(value)
        assert all((handle.buffer == value).all() for value, handle in enumerate(held))

    def test_features_outlive_the_pool(self) -> None:
        pool = self.pool(1)
        handle = pool.take()
        assert handle is not None
        handle.buffer.fill_(7)
        del pool
        gc.collect()
        assert (handle.buffer == 7).all()

    def test_handles_dropped_in_other_threads_free_their_slots(self) -> None:
        from concurrent.futures import ThreadPoolExecutor

        pool = self.pool(64)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: [pool.take() is not None for _ in range(8)], range(200)))
        assert pool.free == 64


class TestPreparedEngine:
    def prepared(self, feature_bytes: int, largest: int = 2) -> TorchEngine:
        engine = TorchEngine()
        engine.prepare(64, largest, feature_bytes)
        return engine

    def test_it_says_how_many_bytes_of_features_may_be_kept(self) -> None:
        assert TorchEngine().prepare(64, 2, 10_000_000) == 10_000_000

    def test_images_of_its_size_take_slots_and_others_memory_of_their_own(self) -> None:
        engine = self.prepared(feature_bytes=10_000_000)
        assert [one.pooled for one in engine.embed(pictures(2, 64))] == [True, True]
        assert [one.pooled for one in engine.embed(pictures(2, 48))] == [False, False]

    def test_a_full_pool_is_no_failure(self) -> None:
        engine = self.prepared(feature_bytes=0, largest=2)  # four slots, for two batches in use
        features = engine.embed(pictures(6))
        assert [one.pooled for one in features] == [True] * 4 + [False] * 2
        expected = TorchEngine().embed(pictures(6))
        assert engine.compare(features, features[::-1]) == pytest.approx(
            TorchEngine().compare(expected, expected[::-1])
        )

    def test_reused_slots_hold_the_new_image(self) -> None:
        engine = self.prepared(feature_bytes=0, largest=1)  # two slots
        images = pictures(6)
        expected = engine.compare(*(TorchEngine().embed(part) for part in (images[:1], images[5:])))
        for image in images[1:5]:
            engine.embed(image[np.newaxis])
        first, last = engine.embed(images[:1]), engine.embed(images[5:])
        assert engine.compare(first, last) == pytest.approx(expected, abs=1e-7)

    def test_it_may_be_prepared_again_for_another_size(self) -> None:
        engine = self.prepared(feature_bytes=10_000_000)
        engine.prepare(48, 2, 10_000_000)
        assert engine.embed(pictures(1, 48))[0].pooled


class TestBadInput:
    def test_floats_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"float64\(64, 64, 3\)"):
            TorchEngine().embed(pictures(1) / 255)  # type: ignore[arg-type]

    def test_images_of_unequal_sizes_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"one size.*48.*64"):
            TorchEngine().embed([picture(0, 64), picture(1, 48)])

    def test_images_too_small_are_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 31 pixels"):
            TorchEngine().embed(np.zeros((1, 30, 64, 3), np.uint8))

    def test_pairs_of_unequal_sizes_are_refused_by_place(self) -> None:
        engine = TorchEngine()
        large, small = engine.embed(pictures(1, 64))[0], engine.embed(pictures(1, 48))[0]
        with pytest.raises(ValueError, match=r"pair 1 .* 64×64 and 48×48"):
            engine.compare([large, large], [large, small])

    def test_pairs_of_different_sizes_may_stand_in_one_call(self) -> None:
        engine = TorchEngine()
        large, small = engine.embed(pictures(2, 64)), engine.embed(pictures(2, 48))
        mixed = engine.compare([large[0], small[0], large[1]], [large[1], small[1], large[1]])
        assert mixed[0] == pytest.approx(engine.compare(large[:1], large[1:])[0])
        assert mixed[1] == pytest.approx(engine.compare(small[:1], small[1:])[0])
        assert not mixed[2].any()


def failing_above(most: int, calls: list[int]) -> Callable[[Sequence[int]], list[int]]:
    """Squares of items, which runs out of memory with more than `most` of them."""

    def run(items: Sequence[int]) -> list[int]:
        calls.append(len(items))
        if len(items) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return [item**2 for item in items]

    return run


def nothing() -> None: ...


def ignore(_: int) -> None: ...


class TestOutOfMemory:
    def test_a_batch_is_halved_until_it_fits_and_keeps_its_order(self) -> None:
        calls: list[int] = []
        assert in_halves(failing_above(2, calls), range(7), nothing, ignore) == [n**2 for n in range(7)]
        assert max(calls[-2:]) <= 2

    def test_caches_are_emptied_before_each_new_try(self) -> None:
        relieved: list[int] = []
        in_halves(failing_above(2, []), range(8), lambda: relieved.append(1), ignore)
        assert len(relieved) == 3  # for 8 and twice for 4

    def test_the_sizes_that_failed_are_learned(self) -> None:
        learned: list[int] = []
        in_halves(failing_above(2, []), range(8), nothing, learned.append)
        assert learned == [8, 4, 4]

    def test_one_item_is_tried_again_when_caches_are_empty(self) -> None:
        room = 0

        def relieve() -> None:
            nonlocal room
            room = 1

        assert in_halves(lambda items: failing_above(room, [])(items), [3], relieve, ignore) == [9]

    def test_one_item_that_never_fits_is_an_error_of_its_own(self) -> None:
        with pytest.raises(OutOfMemoryError, match=r"does not suffice.*20\.00 MiB"):
            in_halves(failing_above(0, []), [1, 2], nothing, ignore)

    def test_other_errors_pass(self) -> None:
        def broken(_: Sequence[int]) -> list[int]:
            raise RuntimeError("an illegal memory access was encountered")

        with pytest.raises(RuntimeError, match="illegal"):
            in_halves(broken, [1, 2], nothing, ignore)

    def test_what_is_reserved_is_halved_until_it_fits(self) -> None:
        calls: list[int] = []

        def build(size: int) -> str:
            failing_above(3, calls)(range(size))
            return "built"

        assert largest_that_fits(build, 16, "cpu") == "built"
        assert calls == [16, 8, 4, 2]
        assert largest_that_fits(lambda size: failing_above(0, [])(range(size)), 4, "cpu") is None

    def test_the_failed_batch_is_given_back_before_the_new_try(self) -> None:
        import weakref

        held: list[weakref.ref[torch.Tensor]] = []

        def run(items: Sequence[int]) -> list[int]:
            assert all(reference() is None for reference in held)
            batch = torch.zeros(len(items))
            held.append(weakref.ref(batch))
            return failing_above(1, [])(items)

        assert in_halves(run, [1, 2, 3], nothing, ignore) == [1, 4, 9]

    def test_the_engine_answers_with_a_shrunken_cache_and_smaller_batches(self) -> None:
        engine = TorchEngine(threads=1)
        expected = engine.compare(*(engine.embed(pictures(4)) for _ in range(2)))
        cache = engine.embed(pictures(4))
        engine.on_memory_pressure = cache.clear
        sizes: list[int] = []
        hungry = HungryKernels(engine, most=1, sizes=sizes)
        engine._kernels = hungry  # a fault that a CPU cannot have otherwise
        features = engine.embed(pictures(4))
        assert engine.compare(features, engine.embed(pictures(4))) == pytest.approx(expected, abs=1e-7)
        assert cache == []
        assert sizes == [4, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1]  # learned in the first call, and known in the second


class HungryKernels(PlainKernels):
    """Kernels on a device with memory for `most` images."""

    def __init__(self, engine: TorchEngine, most: int, sizes: list[int]) -> None:
        super().__init__(engine.device, torch.float32)
        self._most = most
        self._sizes = sizes

    def blocks(self, images: torch.Tensor) -> torch.Tensor:
        self._sizes.append(len(images))
        if len(images) > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().blocks(images)


class TestBuckets:
    def test_they_are_the_powers_of_two_and_the_largest(self) -> None:
        assert bucket_sizes(16) == [1, 2, 4, 8, 16]
        assert bucket_sizes(12) == [1, 2, 4, 8, 12]
        assert bucket_sizes(1) == [1]

    @pytest.mark.parametrize("largest", [1, 2, 12, 16, 100])
    def test_each_batch_has_the_smallest_that_holds_it(self, largest: int) -> None:
        sizes = bucket_sizes(largest)
        assert all(lower < upper for lower, upper in pairwise(sizes))
        for count in range(1, largest + 1):
            assert bucket_for(count, largest) == min(size for size in sizes if size >= count)


def half_distances(dtype: torch.dtype, images: Pixels, pairs: NDArray[np.intp]) -> NDArray[np.float32]:
    """Distances from the network in one dtype on the CPU, whatever device would compute in it."""
    network, kernels = AlexNetTaps(load_backbone(), dtype), PlainKernels("cpu", dtype)
    layout = layout_of(*images.shape[1:3])
    features = [TorchFeatures(layout, torch.empty(layout.elements, dtype=dtype)) for _ in images]
    with torch.inference_mode():
        kernels.store(network(kernels.blocks(torch.from_numpy(images))), features)
        z = kernels.compare([features[i] for i in pairs[:, 0]], [features[i] for i in pairs[:, 1]])
    return weigh(z.numpy(), WEIGHTS)


class TestFast:
    """`fast` against `exact` over 600 pairs, from near copies to strangers."""

    images = np.stack(
        [variation(picture(seed, 64), 50 * step + seed, step / 5) for seed in range(10) for step in range(5)]
    )
    pairs = np.array([(i, j) for i in range(50) for j in range(i)])[::2][:600]

    @pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 2e-3), (torch.float16, 2.5e-4)])
    def test_it_is_close_and_keeps_the_order(self, dtype: torch.dtype, bound: float) -> None:
        exact = half_distances(torch.float32, self.images, self.pairs)
        fast = half_distances(dtype, self.images, self.pairs)
        assert len(exact) >= 500
        assert np.abs(fast - exact).max() <= bound
        assert spearmanr(exact, fast).statistic >= 0.9999

    def test_the_engine_computes_what_the_network_does(self) -> None:
        engine = TorchEngine(precision="fast")
        features = engine.embed(self.images[:4])
        distances = weigh(engine.compare(features[:2], features[2:]), WEIGHTS)
        expected = half_distances(compute_dtype("cpu", "fast"), self.images[:4], np.array([(0, 2), (1, 3)]))
        assert distances == pytest.approx(expected, abs=1e-3)

    def test_identical_images_are_at_distance_zero(self) -> None:
        engine = TorchEngine(precision="fast")
        (features,) = engine.embed(self.images[:1])
        assert not engine.compare([features], [features]).any()

    def test_float16_saturates_and_never_gives_nan(self) -> None:
        network = AlexNetTaps(load_backbone(), torch.float16)
        with torch.inference_mode():
            maps = network(torch.full((1, 48, 17, 17), 60_000.0, dtype=torch.float16))
        assert all(torch.isfinite(one).all() for one in maps)

    def test_a_cpu_without_bfloat16_says_at_the_start_that_exact_is_faster(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING, logger="clpips.models.engines.pytorch.engine"):
            open_engine("torch", "cpu", precision="fast").close()
        assert len(caplog.messages) == (0 if cpu_has_bfloat16() else 1)
        assert all("choose precision exact" in message for message in caplog.messages)

    def test_gpus_take_float16_and_cpus_bfloat16(self) -> None:
        assert compute_dtype("cuda", "fast") == torch.float16
        assert compute_dtype("cpu", "fast") == torch.bfloat16
        assert compute_dtype("cuda", "exact") == torch.float32
