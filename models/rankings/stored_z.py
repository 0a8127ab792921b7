"""Channel distances in a ranking file: by family, base64 of float16, in the units of `metric/packing.py`."""

import base64
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.families import (
    ALEX_LAYOUT,
    FAMILIES,
    FAMILIES_OF,
    LAYOUTS,
    NETWORKS,
    ZLayout,
    layout_of_z,
    networks_of,
)
from clpips.models.metric.packing import fill_z, known_networks, trim_z


def encode_z(packed: NDArray[np.float16]) -> dict[str, str]:
    """Packed channel distances `(k, known)` as a ranking file holds them: by family, base64 of float16 little-endian.

    Families of networks that were not run are left out.

    >>> decode_z(encode_z(np.ones((2, 6016), np.float16)), candidates=2).shape
    (2, 6016)
    """
    networks, whole = known_networks(packed.shape[1]), fill_z(packed)
    places = layout_of_z(whole.shape[1]).places
    return {
        family.name: base64.b64encode(
            np.ascontiguousarray(whole[:, places[family.name]], dtype="<f2").tobytes()
        ).decode("ascii")
        for family in FAMILIES
        if family.backbone in networks
    }


def decode_z(families: Mapping[str, str], candidates: int) -> NDArray[np.float16]:
    """The reverse: float16 `(candidates, known)`.

    Raises `ValueError` where a network's families are not all there, or none are, for a family that there is not, for
    another length, or for values that cannot be.
    """
    networks = networks_of(families)
    if not networks or families.keys() != frozenset().union(*(FAMILIES_OF[name] for name in networks)):
        expected = " or ".join(", ".join(f.name for f in FAMILIES if f.backbone == name) for name in NETWORKS)
        raise ValueError(f"z: expected the families {expected}, or both, found {', '.join(families) or 'none'}")
    layout = _layout_of(families, candidates)
    whole = np.zeros((candidates, layout.length), np.float16)  # (k, z)
    for name, text in families.items():
        place = layout.places[name]
        whole[:, place] = _decode_family(name, text, candidates, place.stop - place.start)
    if not (np.isfinite(whole).all() and (whole >= 0).all()):
        raise ValueError("z: channel distances must be finite and ≥ 0")
    return trim_z(whole, networks)


def _layout_of(families: Mapping[str, str], candidates: int) -> ZLayout:
    """The layout of the backbone whose family `aligned` is as long as this one; AlexNet's where none is."""
    nbytes = len(families.get("aligned", "")) * 3 // 4  # base64 may have two bytes more
    for layout in LAYOUTS.values():
        expected = 2 * candidates * layout.net.total_channels
        if expected <= nbytes <= expected + 2:
            return layout
    return ALEX_LAYOUT


def _decode_family(name: str, text: str, candidates: int, channels: int) -> NDArray[np.float16]:
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:  # also of text that is not ASCII
        raise ValueError(f"z: {name} is not base64 ({error})") from error
    expected = candidates * channels * 2
    if len(content) != expected:
        raise ValueError(
            f"z: {name} of {candidates} candidates needs {expected:,} bytes (float16, {channels} each), "
            f"{len(content):,} came"
        )
    return np.frombuffer(content, "<f2").reshape(candidates, channels)  # (k, c)
