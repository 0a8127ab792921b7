"""How a CPU engine's calls share its cores."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pytest

from clpips.models.engines.cores import Cores
from clpips.models.engines.opening import open_engine
from tests.support.pictures import picture


@pytest.fixture
def cores() -> Iterator[Cores]:
    two = Cores(2)
    yield two
    two.close()


def threads(items: Sequence[int]) -> list[tuple[int, int]]:
    """Each item with the thread that it was given to."""
    return [(item, threading.get_ident()) for item in items]


def refuse(_: Sequence[int]) -> list[tuple[int, int]]:
    raise AssertionError("this way is not for such a call")


def test_a_lone_item_has_all_cores(cores: Cores) -> None:
    assert [item for item, _ in cores.map([7], refuse, threads)] == [7]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no threads to cores")
def test_a_lone_item_s_thread_keeps_off_cores_that_have_threads_of_their_own() -> None:
    usual = os.sched_getaffinity(0)

    def seen(_: Sequence[int]) -> list[set[int]]:
        return [os.sched_getaffinity(0)]

    def fail(_: Sequence[int]) -> list[set[int]]:
        raise RuntimeError

    with closing(Cores(2, pinned=True)) as cores:
        assert cores.map([7], fail, seen) == [{min(usual)}]
        assert os.sched_getaffinity(0) == usual
        with pytest.raises(RuntimeError):
            cores.map([7], seen, fail)
        assert os.sched_getaffinity(0) == usual
    with closing(Cores(2)) as cores:
        assert cores.map([7], fail, seen) == [usual]


def test_the_items_of_a_lone_call_are_shared_out_and_come_back_in_order(cores: Cores) -> None:
    both = threading.Barrier(2, timeout=60)

    def meet(items: Sequence[int]) -> list[int]:
        if 0 in items or 9 in items:
            both.wait()  # no core would come here while the other is here, if one had all of the work
        return list(items)

    assert cores.map(list(range(10)), meet, lambda _: []) == list(range(10))


def test_calls_beside_each_other_keep_to_their_own_threads(cores: Cores) -> None:
    inside, over = threading.Event(), threading.Event()

    def stay(items: Sequence[int]) -> list[int]:
        inside.set()
        assert over.wait(60)
        return list(items)

    first = threading.Thread(target=cores.map, args=([1], refuse, stay))
    first.start()
    assert inside.wait(60)
    assert cores.map([2, 3, 4], threads, refuse) == threads([2, 3, 4])
    over.set()
    first.join()
    assert [item for item, _ in cores.map([5], refuse, threads)] == [5]


def test_a_call_that_failed_is_over(cores: Cores) -> None:
    with pytest.raises(AssertionError, match="not for such a call"):
        cores.map([1], threads, refuse)
    assert [item for item, _ in cores.map([2], refuse, threads)] == [2]


@pytest.mark.parametrize("name", ["onnx", pytest.param("torch", marks=pytest.mark.torch)])
def test_features_are_the_same_whoever_calls_at_the_same_time(name: str) -> None:
    engine = open_engine(name, "cpu", threads=2)  # type: ignore[arg-type]
    images = [picture(seed, 64, 80) for seed in range(12)]
    alone = engine.embed(images)
    found: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}

    def embed(number: int) -> None:
        beside = [one for start in range(0, 12, 3) for one in engine.embed(images[start : start + 3])]
        found[number] = engine.compare(alone, beside)

    workers = [threading.Thread(target=embed, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    engine.close()
    assert len(found) == 4
    assert max(z.max() for z in found.values()) <= 1e-12
