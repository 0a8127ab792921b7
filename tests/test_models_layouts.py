"""Where a backbone's channels lie in weights and channel distances: packed, kept and fitted, whatever the backbone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clpips.models.fitting.convex.fit import fit_convex
from clpips.models.metric.families import ALL_FAMILIES, LAYOUTS
from clpips.models.metric.nets import NETS, Net
from clpips.models.metric.packing import fill_weights, pack_z, trim_weights, unpack_z
from clpips.models.metric.weights import LayerWeights, combine_families
from clpips.models.metric.weights_files import format_weights, load_weights, parse_weights
from clpips.models.rankings.pairs import join_pairs, pairs_of_ranking
from clpips.models.rankings.stored_z import decode_z, encode_z

OTHERS = ["vgg", "squeeze"]
layouts = st.sampled_from(list(LAYOUTS.values()))


@pytest.mark.parametrize("net", NETS.values(), ids=list(NETS))
def test_a_net_has_the_channels_that_lpips_has_weights_for(net: Net) -> None:
    weights = load_weights("lpips", net.name)
    assert weights.layout.net == net
    assert len(weights.aligned) == net.total_channels == sum(net.channels)
    assert weights.families == {"aligned"}
    assert (weights.aligned >= 0).all()


@given(layouts, st.sets(st.sampled_from(["alexnet", "efficientnet-lite0"]), min_size=1), st.integers(0, 99))
def test_what_is_packed_is_unpacked_whatever_the_backbone(layout: Any, networks: set[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.random((2, layout.length), np.float32) * np.float32(0.01)
    known = frozenset(networks)
    for name in {"alexnet", "efficientnet-lite0"} - known:
        z[:, layout.network_places[name]] = 0
    packed = pack_z(z, known)
    assert packed.shape[1] <= layout.length
    if "alexnet" in known:  # what the content network alone says does not tell the backbone
        np.testing.assert_allclose(unpack_z(packed), z, rtol=2**-10)
        np.testing.assert_array_equal(decode_z(encode_z(packed), 2), packed)
        np.testing.assert_array_equal(fill_weights(trim_weights(z[0])), z[0])


@given(layouts, st.sampled_from(sorted(ALL_FAMILIES)), st.integers(0, 99))
def test_weights_files_keep_weights_whatever_the_backbone(layout: Any, family: str, seed: int) -> None:
    place = layout.places[family]
    values = np.random.default_rng(seed).random(place.stop - place.start)
    weights = LayerWeights(combine_families({family: values}, layout), "one", backbone="a" * 64)
    read = parse_weights(format_weights(weights))
    assert read.layout == layout
    np.testing.assert_array_equal(read.values, weights.values)


@pytest.mark.parametrize("net", OTHERS)
def test_a_fit_learns_with_any_backbone(net: str) -> None:
    layout = LAYOUTS[net]
    rng = np.random.default_rng(0)
    z = rng.gamma(1, 0.001, (8, 5, layout.length)).astype(np.float32)
    pairs = join_pairs([pairs_of_ranking(rows, [1, 2, 3, 4, 5], target) for target, rows in enumerate(z)])
    found = fit_convex(pairs).weights
    assert found.shape == (layout.length,)
    assert pairs.agreement(found) > pairs.agreement(load_weights("lpips", net).values)
