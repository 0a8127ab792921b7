"""Slots: the memory of features that is reserved once, handed out, and free again when its handle is dropped."""

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[torch]'")

import torch

from clpips.models.engines.pytorch.layout import layout_of
from clpips.models.engines.pytorch.slots import SlotPool


def pool_of(slots: int) -> SlotPool:
    return SlotPool(layout_of(31, 31), slots, torch.float32, "cpu")


def test_a_full_pool_gives_nothing() -> None:
    pool = pool_of(2)
    held = [pool.take(), pool.take()]
    assert pool.take() is None
    assert all(held)


def test_a_dropped_handle_frees_its_slot() -> None:
    pool = pool_of(1)
    first = pool.take()
    assert first is not None
    place = first.buffer.data_ptr()
    del first
    second = pool.take()
    assert second is not None
    assert second.buffer.data_ptr() == place


def test_slots_do_not_overlap() -> None:
    pool = pool_of(3)
    held = [handle for handle in (pool.take() for _ in range(3)) if handle is not None]
    for value, handle in enumerate(held):
        handle.buffer.fill_(value)
    assert all((handle.buffer == value).all() for value, handle in enumerate(held))


def test_features_outlive_the_pool() -> None:
    pool = pool_of(1)
    handle = pool.take()
    assert handle is not None
    handle.buffer.fill_(7)
    del pool
    gc.collect()
    assert (handle.buffer == 7).all()


def test_handles_dropped_in_other_threads_free_their_slots() -> None:
    pool = pool_of(64)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: [pool.take() is not None for _ in range(8)], range(200)))
    assert pool.free == 64
