"""Packed channel distances: half the bytes, and small ones keep their digits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clpips.models.metric.packing import pack_z, unpack_z


@given(st.floats(2.0**-28, 1.5, width=32))
def test_what_is_packed_keeps_three_digits(distance: float) -> None:
    packed = pack_z(np.array([distance], np.float32))
    assert packed.dtype == np.float16
    assert float(unpack_z(packed)[0]) == pytest.approx(distance, rel=2**-11)


def test_zero_stays_zero_and_what_is_too_large_stays_finite() -> None:
    assert unpack_z(pack_z(np.array([0, 5], np.float32))).tolist() == [0, pytest.approx(2, rel=1e-3)]


def test_packing_what_was_packed_changes_nothing() -> None:
    packed = pack_z(np.random.default_rng(0).random(1000, np.float32))
    assert np.array_equal(pack_z(unpack_z(packed)), packed)
