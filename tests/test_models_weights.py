"""Weights files: what is written is read again, and what is not sound is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from safetensors.numpy import load, save

from clpips.models.metric.backbone import LAYERS
from clpips.models.metric.families import ALL_NETWORKS, CONTENT, GROUPS, PLACES
from clpips.models.metric.typical import TYPICAL, typical_sum
from clpips.models.metric.weights import LayerWeights, WeightsError, combine_families
from clpips.models.metric.weights_files import (
    FORMAT,
    format_weights,
    load_weights,
    parse_weights,
    save_weights,
    shipped_weights,
)

ONES = np.ones(6016, np.float32)
FAMILY = np.ones(1152, np.float32)
METADATA = {"format": FORMAT, "name": "x", "backbones": '{"alexnet": "b"}', "resolution": "256"}


def test_lpips_ships_with_its_published_weights() -> None:
    weights = load_weights("lpips")
    # Sums of lin0..lin4 of the lpips package's weights/v0.1/alex.pth.
    sums = [float(weights.values[layer].sum()) for layer in LAYERS]
    assert np.allclose(sums, [2.34953, 16.14303, 39.26844, 27.19718, 20.31718])
    assert weights.families == {"aligned"}


def test_a_file_of_the_first_format_is_the_family_aligned() -> None:
    metadata = {"format": "clpips-weights-1", "name": "old", "backbone": "b", "resolution": "256"}
    weights = parse_weights(save({"weights": 2 * FAMILY}, metadata))
    assert np.array_equal(weights.values, combine_families({"aligned": 2 * FAMILY}))
    assert (weights.name, weights.backbone) == ("old", "b")
    assert weights.families == {"aligned"}


def test_a_file_holds_the_families_that_count_and_no_other() -> None:
    weights = LayerWeights(combine_families({"std": FAMILY}), name="x")
    assert load(format_weights(weights)).keys() == {"std"}
    assert parse_weights(format_weights(weights)).families == {"std"}


def test_balanced_gives_each_channel_of_a_family_the_same_and_each_family_a_fifth_of_a_typical_distance() -> None:
    weights = load_weights("balanced")
    assert [len(np.unique(weights.values[place])) for place in PLACES.values()] == [1, 1, 1, 1, 1]
    assert weights.family_shares() == pytest.approx(dict.fromkeys(PLACES, 1 / 5), abs=1e-3)
    assert sum(weights.layer_shares()) == pytest.approx(3 / 5, abs=1e-3)


def test_shares_are_of_a_typical_distance_and_not_of_the_weights() -> None:
    layer_1_aligned, layer_5_mean = GROUPS[0], GROUPS[9]
    values = np.zeros(6016, np.float32)
    values[layer_1_aligned.place] = 1 / TYPICAL["aligned"][0] / 64
    values[layer_5_mean.place] = 3 / TYPICAL["mean"][4] / 256
    weights = LayerWeights(values, name="x")
    assert weights.layer_shares() == pytest.approx([0.25, 0, 0, 0, 0.75])
    assert weights.family_shares() == pytest.approx({**dict.fromkeys(PLACES, 0), "aligned": 0.25, "mean": 0.75})


@pytest.mark.parametrize("share", [1e-12, 0.4, 1 - 1e-12])
def test_without_a_network_the_rest_makes_as_much_of_a_typical_distance(share: float) -> None:
    families = {"std": np.full(1152, share), "content_mean": np.full(1280, 1 - share)}
    weights = LayerWeights(combine_families(families), "both")
    rest = LayerWeights(weights.without(frozenset({CONTENT})), "rest")
    assert rest.families == {"std"}
    assert typical(rest) == pytest.approx(typical(weights), rel=1e-5)
    with pytest.raises(
        WeightsError, match=r"without alexnet, efficientnet-lite0 nothing is left of the weights 'both'"
    ):
        weights.without(ALL_NETWORKS)


def typical(weights: LayerWeights) -> float:
    """What weights of one value a family make of the distance of two natural images."""
    return sum(float(weights.values[place][0]) * typical_sum(name) for name, place in PLACES.items())


def test_equal_weights_are_equal_bytes() -> None:
    weights = load_weights("balanced")
    assert len({format_weights(weights) for _ in range(5)}) == 1


def test_weights_of_zero_have_shares_of_zero() -> None:
    weights = LayerWeights(0 * ONES, name="x")
    assert not any(weights.layer_shares())
    assert not any(weights.family_shares().values())
    assert np.array_equal(parse_weights(format_weights(weights)).values, weights.values)


def test_every_group_has_a_typical_distance() -> None:
    assert {(family, layer) for family, row in TYPICAL.items() for layer in range(len(row))} == {
        (group.family, group.layer) for group in GROUPS
    }
    assert all(value > 0 for row in TYPICAL.values() for value in row)


def test_a_file_keeps_the_weights_and_their_provenance(tmp_path: Path) -> None:
    weights = LayerWeights(
        np.random.default_rng(0).random(6016, np.float32),
        name="ada",
        parent="lpips",
        resolution=None,
        recipe="convex",
        agreement={"pairs": 0.81},
    )
    save_weights(weights, tmp_path / "ada.safetensors")
    again = load_weights(tmp_path / "ada.safetensors")
    assert np.array_equal(again.values, weights.values)
    assert (again.name, again.parent, again.resolution, again.recipe) == ("ada", "lpips", None, "convex")
    assert (again.created, again.backbone, again.agreement) == (weights.created, weights.backbone, {"pairs": 0.81})


def test_saving_leaves_nothing_else_behind(tmp_path: Path) -> None:
    save_weights(LayerWeights(ONES, name="a"), tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@given(arrays(np.float32, 6016, elements=st.floats(0, 1e6, width=32)))
def test_any_sound_weights_survive_the_round_trip(values: NDArray[np.float32]) -> None:
    assert np.array_equal(parse_weights(format_weights(LayerWeights(values, name="x"))).values, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(6015, np.float32), r"\(6016,\), these have \(6015,\)"),
        (np.ones((1, 6016), np.float32), r"\(1, 6016\)"),
        (np.ones(6016, np.int64), "floating-point"),
        (np.where(np.arange(6016) == 5, -1e-3, ONES), "≥ 0, the smallest of these is -0.001"),
        (np.where(np.arange(6016) == 5, np.nan, ONES), "finite"),
        (np.where(np.arange(6016) == 5, np.inf, ONES), "finite"),
        (np.full(6016, 1e300), "float32"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_values_that_cannot_be_weights_are_refused(values: NDArray[np.float64], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        LayerWeights(values, name="bad")  # type: ignore[arg-type]


def test_weights_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="read-only"):
        load_weights("lpips").values[0] = 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a safetensors file"),
        (b"\x80\x04pickle", "not a safetensors file"),
        (format_weights(LayerWeights(ONES, name="x"))[:-10], "not a safetensors file"),
        (save({"weights": ONES}), "format"),
        (save({"other": ONES}, {"format": FORMAT}), "tensors \\['other'\\]"),
        (save({"weights": FAMILY}, {"format": FORMAT}), r"tensors \['weights'\]"),
        (save({"aligned": FAMILY}, {"format": FORMAT}), "lacks"),
        (save({"aligned": FAMILY}, METADATA | {"resolution": "big"}), "big"),
        (save({"aligned": FAMILY}, METADATA | {"backbones": "[]"}), "lacks"),
        (save({"aligned": FAMILY}, METADATA | {"backbones": "null"}), "another shape"),
        (save({"aligned": FAMILY}, METADATA | {"trained_on": '{"images": 5}'}), "another shape"),
        (save({"aligned": -FAMILY}, METADATA), "≥ 0"),
        (save({"std": FAMILY[1:]}, METADATA), r"'std' must have the shape \(1152,\), it has \(1151,\)"),
        (save({"aligned": FAMILY, "colour": FAMILY}, METADATA), r"tensors \['aligned', 'colour'\]"),
        (save({"aligned": np.ones(1152, np.int64)}, METADATA), "floating-point"),
    ],
)
def test_a_file_that_is_not_sound_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        parse_weights(content)


def test_weights_of_another_backbone_are_refused() -> None:
    with pytest.raises(WeightsError, match="belong to the backbone"):
        LayerWeights(ONES, name="x", backbone="ab" * 32).require_backbone("cd" * 32)


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(WeightsError, match=r"'lpisp'.*lpips"):
        load_weights("lpisp")


def test_shipped_weights_are_sound_and_have_a_card() -> None:
    card = (Path(__file__).parent.parent / "models" / "data" / "README.md").read_text()
    for name in shipped_weights():
        weights = load_weights(name)
        assert weights.name == name
        assert f"## `{name}`" in card
        assert json.dumps(weights.agreement)
