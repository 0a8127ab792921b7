"""The backbone file: one for every engine, checked before it is used."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from clpips.models.engines.onnx import OnnxEngine
from clpips.models.metric.backbone import LAYERS, SHIPPED_FINGERPRINT, TOTAL_CHANNELS, tap_sizes
from clpips.models.metric.backbone_file import SHIPPED_BACKBONE, BackboneError, load_backbone, tensor_offsets
from tests.support.pictures import picture


def test_the_shipped_file_is_the_published_one() -> None:
    assert load_backbone().fingerprint == SHIPPED_FINGERPRINT


def test_layers_cover_all_channels_in_order() -> None:
    assert [index for layer in LAYERS for index in range(TOTAL_CHANNELS)[layer]] == list(range(1152))


def test_another_file_with_the_same_keys_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    tensors = {name: tensor * np.float32(0.5) for name, tensor in load_backbone().tensors.items()}
    save_file(tensors, tmp_path / "half.safetensors")
    backbone = load_backbone(tmp_path / "half.safetensors")
    assert backbone.fingerprint != SHIPPED_FINGERPRINT
    image = picture(0, 40)[np.newaxis]
    half, whole = (OnnxEngine(backbone=one).embed(image)[0] for one in (backbone, load_backbone()))
    assert not np.array_equal(half.taps[4], whole.taps[4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.8.bias": None}, "no tensor 'features.8.bias'"),
        ({"features.0.weight": np.zeros((64, 3, 7, 7), np.float32)}, r"expected float32\(64, 3, 11, 11\)"),
        ({"features.0.bias": np.zeros(64, np.float64)}, "float64"),
        ({"features.0.bias": np.full(64, np.nan, np.float32)}, "not finite"),
    ],
)
def test_a_file_with_other_tensors_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    tensors = {**load_backbone().tensors, **change}
    path = tmp_path / "other.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)  # type: ignore[misc]
    with pytest.raises(BackboneError, match=message):
        load_backbone(path)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(SHIPPED_BACKBONE.read_bytes()[:5000])
    with pytest.raises(BackboneError, match="not a safetensors file"):
        load_backbone(path)


def test_offsets_point_at_the_tensors() -> None:
    content = SHIPPED_BACKBONE.read_bytes()
    for name, (offset, length) in tensor_offsets(SHIPPED_BACKBONE).items():
        assert content[offset : offset + length] == load_backbone().tensors[name].tobytes()


@pytest.mark.parametrize("size", [(31, 31), (64, 97), (256, 256)])
def test_tap_sizes_are_those_of_the_features(size: tuple[int, int]) -> None:
    (features,) = OnnxEngine().embed(picture(0, *size)[np.newaxis])
    assert [tap.shape[1:] for tap in features.taps] == tap_sizes(*size)
