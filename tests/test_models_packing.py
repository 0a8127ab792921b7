"""Packed channel distances: half the bytes, and small ones keep their digits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clpips.models.metric.families import NETWORK_PLACES, NETWORKS, Z_LENGTH
from clpips.models.metric.packing import known_networks, pack_z, unpack_z


@given(st.floats(2.0**-28, 1.5, width=32))
def test_what_is_packed_keeps_three_digits(distance: float) -> None:
    packed = pack_z(np.full((1, Z_LENGTH), distance, np.float32))
    assert packed.dtype == np.float16
    assert float(unpack_z(packed)[0, 0]) == pytest.approx(distance, rel=2**-11)


def test_zero_stays_zero_and_what_is_too_large_stays_finite() -> None:
    z = np.zeros((1, Z_LENGTH), np.float32)
    z[0, 1] = 5
    assert unpack_z(pack_z(z))[0, :2].tolist() == [0, pytest.approx(2, rel=1e-3)]


def test_packing_what_was_packed_changes_nothing() -> None:
    packed = pack_z(np.random.default_rng(0).random((2, Z_LENGTH), np.float32))
    assert np.array_equal(pack_z(unpack_z(packed)), packed)


@pytest.mark.parametrize("networks", [{NETWORKS[0]}, {NETWORKS[1]}, set(NETWORKS)])
def test_a_row_keeps_the_networks_that_were_run_and_its_width_says_which(networks: set[str]) -> None:
    z = np.random.default_rng(0).random((3, Z_LENGTH), np.float32)
    packed = pack_z(z, frozenset(networks))
    assert known_networks(packed.shape[1]) == networks
    whole, again = unpack_z(pack_z(z)), unpack_z(packed)
    for name, place in NETWORK_PLACES.items():
        assert np.array_equal(again[:, place], whole[:, place] if name in networks else np.zeros_like(z[:, place]))


def test_a_width_that_no_networks_have_is_refused() -> None:
    with pytest.raises(ValueError, match="1152 channel distances belong to no networks"):
        unpack_z(np.zeros((2, 1152), np.float16))
