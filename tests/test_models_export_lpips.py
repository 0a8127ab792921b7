"""A profile as a state dict of the `lpips` package: the same distances, and gradients that train an image."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clpips.models.cli.commands import main
from clpips.models.engines.contract import Engine
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import PLACES
from clpips.models.metric.weights import LayerWeights, combine_families
from clpips.models.metric.weights_files import load_weights, save_weights
from tests.support.pictures import picture, variation

pytestmark = pytest.mark.torch

ALIGNED = PLACES["aligned"]


def loaded(path: Path) -> Any:
    """The package's own module with a state dict that was written, as a user loads it."""
    import torch

    from loadtest.kit.torchvisions import import_torchvision

    import_torchvision()
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips 0.1.4 calls torchvision by names that are deprecated since
        module = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    module.load_state_dict(torch.load(path, weights_only=True))  # strictly: nothing is missing, nothing left over
    return module.eval()


def tensor(pixels: Any) -> Any:
    import torch

    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1


def export(capsys: pytest.CaptureFixture[str], weights: str, out: Path) -> Any:
    with pytest.raises(SystemExit) as stopped:
        main(["export-lpips", weights, "--out", str(out), "--json"])
    assert stopped.value.code == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def person(tmp_path: Path) -> Path:
    """Weights that somebody might have taught: of `aligned` alone, and none of LPIPS's."""
    drawn = np.random.default_rng(0).random(1152).astype(np.float32)
    path = tmp_path / "ada.safetensors"
    save_weights(LayerWeights(combine_families({"aligned": drawn}), "ada"), path)
    return path


def test_the_packages_distances_are_those_of_the_weights(
    capsys: pytest.CaptureFixture[str], engine: Engine, person: Path, tmp_path: Path
) -> None:
    target = picture(1, 96, 120)
    candidate = variation(target, 2, 0.5)
    features = engine.embed([target, candidate])
    z = engine.compare(features[:1], features[1:])[:, ALIGNED]
    for weights in ("lpips", "balanced", str(person)):
        export(capsys, weights, tmp_path / "loss.pth")
        expected = weigh(z, load_weights(weights).values[ALIGNED])[0]
        distance = loaded(tmp_path / "loss.pth")(tensor(target), tensor(candidate)).item()
        assert distance == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_what_the_package_has_no_place_for_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert export(capsys, "lpips", tmp_path / "loss.pth")["left_out"] == {}
    missing = export(capsys, "balanced", tmp_path / "loss.pth")["left_out"]
    assert missing.keys() == {"mean", "std", "content_mean", "content_std"}
    assert sum(missing.values()) == pytest.approx(0.8, abs=0.01)  # each of five families has the same share


def test_weights_without_aligned_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    values = combine_families({"mean": np.ones(1152, np.float32)})
    save_weights(LayerWeights(values, "colours"), tmp_path / "w.safetensors")
    with pytest.raises(SystemExit) as stopped:
        main(["export-lpips", str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "loss.pth")])
    assert stopped.value.code == 2
    assert "there is nothing to export" in capsys.readouterr().err
    assert not (tmp_path / "loss.pth").exists()


def test_a_folder_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["export-lpips", "lpips", "--out", str(tmp_path / "nowhere" / "loss.pth")])
    assert stopped.value.code == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_an_image_is_optimised_with_it(capsys: pytest.CaptureFixture[str], person: Path, tmp_path: Path) -> None:
    import torch

    export(capsys, str(person), tmp_path / "loss.pth")
    loss = loaded(tmp_path / "loss.pth")
    target = tensor(picture(1, 64))
    image = tensor(variation(picture(1, 64), 2, 0.8)).requires_grad_()
    optimiser = torch.optim.Adam([image], lr=0.03)
    distances = []
    for _ in range(10):
        optimiser.zero_grad()
        distance = loss(image, target).sum()
        distance.backward()
        optimiser.step()
        distances.append(distance.item())
    assert distances[-1] < 0.7 * distances[0]
    assert distances == sorted(distances, reverse=True)
