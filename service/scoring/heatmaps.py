"""Heat maps: where a candidate differs from its target, by a profile's weights, as a picture or as values."""

import asyncio
import io
from functools import partial

import numpy as np
from numpy.typing import NDArray

from clpips.models.images.heat import heat_png, overlay_png
from clpips.models.metric.distance import distance_by_family, weigh
from clpips.models.metric.families import FAMILIES
from clpips.models.metric.nets import Net
from clpips.models.metric.spatial import heat_map
from clpips.service.admission.door import Ticket
from clpips.service.profiles.named_weights import NamedWeights
from clpips.service.profiles.registry import Registry
from clpips.service.scoring.comparer import ALIGNED, Comparer, Located
from clpips.service.wire.faults import invalid
from clpips.service.wire.heatmaps import Heatmap, HeatmapOptions, HeatmapRequest, media_type_of


class Heatmaps:
    """Answers `/heatmap`: from a parsed request to the finished file."""

    def __init__(self, comparer: Comparer, registry: Registry) -> None:
        self._comparer = comparer
        self._registry = registry

    async def draw(self, tenant: str, request: HeatmapRequest, ticket: Ticket) -> Heatmap:
        """The map of a request. Raises a `Problem` or `StorageError`."""
        profile = await self._registry.resolve(tenant, request.options.profile)
        self._registry.require_networks(profile.weights, "/profile")
        weights, options = profile.weights, request.options
        _require_layer(weights.layout.net, options.layer)
        located = await self._comparer.locate(
            tenant,
            (request.target, request.candidate),
            options.resolution,
            ticket,
            weights.families | ALIGNED,
            weights.aligned,
            request.mask,
            pixels=options.style == "overlay",
        )
        content, high = await asyncio.to_thread(partial(_drawn, located, options))
        return Heatmap(content, media_type_of(options), _headers(located.z, profile, high))


def _require_layer(net: Net, layer: int | None) -> None:
    """Raise `InvalidRequest` for a layer that the backbone has not."""
    count = len(net.channels)
    if layer is not None and layer > count:
        raise invalid("/layer", f"{net.title} has {count} layers, this is layer {layer}; choose 1 to {count}")


def _drawn(located: Located, options: HeatmapOptions) -> tuple[bytes, float]:
    """The file of a map, and the value of its lightest colour."""
    layers = located.layers if options.layer is None else located.layers[options.layer - 1 : options.layer]
    values = heat_map(layers, *located.size, options.upsample)  # (h, w)
    high = float(values.max()) if options.high is None else options.high
    if options.format == "npy":
        return _npy(values), high
    if located.pixels is not None:
        return overlay_png(values, high, located.pixels, options.opacity), high
    return heat_png(values, high), high


def _npy(values: NDArray[np.float32]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()


def _headers(z: NDArray[np.float32], profile: NamedWeights, high: float) -> dict[str, str]:
    """What an answer says beside the map; `z` is `(1, z)`."""
    weights = profile.weights.values
    parts = distance_by_family(z, weights)[0]  # (families,)
    by_name = {family.name: float(part) for family, part in zip(FAMILIES, parts, strict=True)}
    whole = sum(by_name.values())
    return {
        "Clpips-Distance": str(float(weigh(z, weights)[0])),
        "Clpips-Families": ", ".join(f"{name}={part}" for name, part in by_name.items()),
        "Clpips-Unplaced": f"{(whole - by_name['aligned']) / whole if whole else 0.0:.4f}",
        "Clpips-Legend": f"low=0.0, high={high}",
        "Clpips-Layers": str(len(profile.weights.layout.net.channels)),
        "Clpips-Profile": f"{profile.info.name}; version={profile.info.version}",
    }
