"""Device names, several engines of one kind, and features that go from one to another."""

import threading
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import clpips.service.cli
from clpips.models.cli.commands import commands
from clpips.models.engines.contract import Engine, EngineError, EngineName
from clpips.models.engines.devices import devices_of, open_all, shares_main_memory
from clpips.models.engines.opening import open_engine
from clpips.models.metric.families import CONTENT, NETWORKS
from clpips.service.app import create_app
from clpips.service.settings import Settings, SettingsError
from tests.support.pictures import picture
from tests.support.services import FakeEngine

assert callable(clpips.service.cli.main)  # importing it adds `serve` to the commands

GOOD = {
    "auto": ["auto"],
    "cpu": ["cpu"],
    "cuda": ["cuda"],
    "cuda:1": ["cuda:1"],
    "cuda:0,cuda:1": ["cuda:0", "cuda:1"],
    "cuda:3 , cuda:0": ["cuda:3", "cuda:0"],
    "cpu,cpu": ["cpu", "cpu"],
}
BAD = [
    "",
    "gpu",
    "cuda:",
    "cuda:x",
    "cuda:-1",
    "cpu,cuda:0",
    "auto,cpu",
    "cuda,cuda:1",
    "cuda:0,",
    "cuda:0;cuda:1",
    "CUDA:0",
]


@pytest.mark.parametrize("names", GOOD)
def test_devices_are_named_one_by_one(names: str) -> None:
    assert devices_of(names) == GOOD[names]
    assert Settings.from_environment({"CLPIPS_DEVICE": names}).device == names


@pytest.mark.parametrize("names", BAD)
def test_what_names_no_devices_is_refused_with_what_would(names: str) -> None:
    with pytest.raises(EngineError, match=r"expected auto, cpu, cuda, or cards by their numbers .* cuda:0,cuda:1"):
        devices_of(names)
    with pytest.raises(SettingsError, match=r"CLPIPS_DEVICE=.*expected auto, cpu, cuda, or cards"):
        Settings.from_environment({"CLPIPS_DEVICE": names})


def test_the_command_line_refuses_them_too() -> None:
    result = CliRunner().invoke(commands, ["serve", "--device", "cpu,cuda:0"])
    assert result.exit_code == 2
    assert "names no devices" in result.output


class Opening:
    """Opens fake engines, but for those that are missing."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing
        self.opened: list[FakeEngine] = []

    def __call__(self, device: str) -> Engine:
        if device in self.missing:
            raise EngineError(f"PyTorch sees no {device}")
        engine = FakeEngine()
        engine.device = device
        self.opened.append(engine)
        return engine


def test_a_device_that_is_missing_stops_the_start_and_closes_the_others() -> None:
    opening = Opening("cuda:1")
    with pytest.raises(EngineError, match="sees no cuda:1"):
        open_all(opening, ["cuda:0", "cuda:1", "cuda:2"], fallback=False)
    assert [engine.device for engine in opening.opened if engine.closed] == ["cuda:0"]


def test_with_a_fallback_those_that_are_there_are_taken() -> None:
    engines = open_all(Opening("cuda:1"), ["cuda:0", "cuda:1", "cuda:2"], fallback=True)
    assert [engine.device for engine in engines] == ["cuda:0", "cuda:2"]
    with pytest.raises(EngineError, match="sees no cuda:0"):
        open_all(Opening("cuda:0", "cuda:1"), ["cuda:0", "cuda:1"], fallback=True)


def test_cards_that_are_not_there_stop_the_start_or_leave_the_cpu() -> None:
    if not cards_are_missing():
        pytest.skip("this machine has CUDA cards")
    with pytest.raises(EngineError):
        create_app(Settings(device="cuda:0,cuda:1", engine="onnx"))
    app = create_app(Settings(device="cuda:0,cuda:1", engine="onnx", engine_fallback=True, threads=1))
    assert not app.state.engine_health.failing


def cards_are_missing() -> bool:
    try:
        open_engine("onnx", "cuda:0").close()
    except EngineError:
        return True
    return False


def engines_of(name: EngineName) -> tuple[Engine, Engine]:
    return open_engine(name, "cpu", threads=1), open_engine(name, "cpu", threads=1)


@pytest.mark.parametrize("name", ["onnx", pytest.param("torch", marks=pytest.mark.torch)])
def test_features_of_one_engine_are_compared_by_another_to_the_bit(name: EngineName) -> None:
    one, other = engines_of(name)
    images = np.stack([picture(seed, 64) for seed in range(2)])
    assert shares_main_memory(one)
    for network in NETWORKS:
        target, candidate = one.embed(images, network=network)
        elsewhere, _ = other.embed(images, network=network)  # in a batch as large
        assert (one.compare([target], [candidate]) == other.compare([elsewhere], other.adopt([candidate]))).all()
    one.close()
    other.close()


@pytest.mark.torch
@pytest.mark.parametrize("measured", [False, True])
def test_a_copy_on_another_card_compares_as_what_was_copied(measured: bool) -> None:
    """The copy itself, between two places of one memory: cards would be two."""
    import torch

    from clpips.models.engines.pytorch.slots import TorchFeatures

    engine: Any = open_engine("torch", "cpu", threads=1)
    images = np.stack([picture(seed, 64) for seed in range(2)])
    target, candidate = engine.embed(images)
    if measured:
        expected = engine.compare([target], [candidate])
    copy = candidate.copy_to(TorchFeatures(candidate.layout, torch.full_like(candidate.buffer, torch.nan)))
    assert copy.measured is measured
    if not measured:
        expected = engine.compare([target], [candidate])
    assert (engine.compare([target], [copy]) == expected).all()
    first, second = engine.embed(images, network=CONTENT)
    assert (engine.compare([first], [second.to("cpu")]) == engine.compare([first], [second])).all()
    engine.close()


@pytest.mark.torch
@pytest.mark.gpu
def test_features_are_copied_between_two_cards() -> None:
    import torch

    if torch.cuda.device_count() < 2:
        pytest.skip("needs two NVIDIA GPUs: run it on a machine that has them")
    one, other = (open_engine("torch", f"cuda:{number}") for number in range(2))
    images = np.stack([picture(seed, 256) for seed in range(2)])
    for network in NETWORKS:
        target, candidate = one.embed(images, network=network)
        elsewhere, _ = other.embed(images, network=network)
        moved = other.adopt([candidate])
        np.testing.assert_allclose(other.compare([elsewhere], moved), one.compare([target], [candidate]), atol=1e-6)


@pytest.mark.torch
def test_convolutions_of_a_card_do_not_give_the_flags_back_under_anothers() -> None:
    """Two threads, as of two cards: TF32 stays off until the last one is done. cuDNN's flags exist without a card."""
    import torch

    from clpips.models.engines.pytorch.cuda_graphs import exact_convolutions

    inside, seen = threading.Barrier(2, timeout=30), []

    def convolve() -> None:
        inside.wait()
        for _ in range(200):
            with exact_convolutions("cuda:0", search=False):
                seen.append(torch.backends.cudnn.allow_tf32)

    before = torch.backends.cudnn.allow_tf32
    threads = [threading.Thread(target=convolve) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(seen)
    assert len(seen) == 400
    assert torch.backends.cudnn.allow_tf32 == before
