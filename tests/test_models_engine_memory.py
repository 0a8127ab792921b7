"""A device whose memory runs out: batches are halved, caches are emptied, and the sizes that failed are learned."""

import weakref
from collections.abc import Callable, Sequence

import pytest

from tests.support.pictures import pictures

pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[torch]'")

import torch

from clpips.models.engines.pytorch.engine import TorchEngine
from clpips.models.engines.pytorch.kernels import PlainKernels
from clpips.models.engines.pytorch.memory import OutOfMemoryError, in_halves, largest_that_fits


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


def test_a_batch_is_halved_until_it_fits_and_keeps_its_order() -> None:
    calls: list[int] = []
    assert in_halves(failing_above(2, calls), range(7), nothing, ignore) == [n**2 for n in range(7)]
    assert max(calls[-2:]) <= 2


def test_caches_are_emptied_before_each_new_try() -> None:
    relieved: list[int] = []
    in_halves(failing_above(2, []), range(8), lambda: relieved.append(1), ignore)
    assert len(relieved) == 3  # for 8 and twice for 4


def test_the_sizes_that_failed_are_learned() -> None:
    learned: list[int] = []
    in_halves(failing_above(2, []), range(8), nothing, learned.append)
    assert learned == [8, 4, 4]


def test_one_item_is_tried_again_when_caches_are_empty() -> None:
    room = 0

    def relieve() -> None:
        nonlocal room
        room = 1

    assert in_halves(lambda items: failing_above(room, [])(items), [3], relieve, ignore) == [9]


def test_one_item_that_never_fits_is_an_error_of_its_own() -> None:
    with pytest.raises(OutOfMemoryError, match=r"does not suffice.*20\.00 MiB"):
        in_halves(failing_above(0, []), [1, 2], nothing, ignore)


def test_other_errors_pass() -> None:
    def broken(_: Sequence[int]) -> list[int]:
        raise RuntimeError("an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        in_halves(broken, [1, 2], nothing, ignore)


def test_what_is_reserved_is_halved_until_it_fits() -> None:
    calls: list[int] = []

    def build(size: int) -> str:
        failing_above(3, calls)(range(size))
        return "built"

    assert largest_that_fits(build, 16, "cpu") == "built"
    assert calls == [16, 8, 4, 2]
    assert largest_that_fits(lambda size: failing_above(0, [])(range(size)), 4, "cpu") is None


def test_the_failed_batch_is_given_back_before_the_new_try() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def run(items: Sequence[int]) -> list[int]:
        assert all(reference() is None for reference in held)
        batch = torch.zeros(len(items))
        held.append(weakref.ref(batch))
        return failing_above(1, [])(items)

    assert in_halves(run, [1, 2, 3], nothing, ignore) == [1, 4, 9]


class HungryKernels(PlainKernels):
    """Kernels on a device that soon has memory for `most` images; they write down how many they are given."""

    def __init__(self) -> None:
        super().__init__("cpu", torch.float32)
        self.most = 1_000
        self.sizes: list[int] = []

    def blocks(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().blocks(images)


def test_the_engine_answers_with_a_shrunken_cache_and_smaller_batches() -> None:
    kernels = HungryKernels()
    engine = TorchEngine(threads=1, kernels=kernels)
    expected = engine.compare(engine.embed(pictures(4)), engine.embed(pictures(4)))
    cache = engine.embed(pictures(4))
    engine.on_memory_pressure = cache.clear
    kernels.most = 1
    kernels.sizes.clear()
    features = engine.embed(pictures(4))
    assert engine.compare(features, engine.embed(pictures(4))) == pytest.approx(expected, abs=1e-7)
    assert cache == []
    assert kernels.sizes == [4, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1]  # learned in the first call, and known in the second
