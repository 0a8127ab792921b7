"""Weights files: safetensors with a tensor for each family that counts, and the provenance in the metadata.

`aligned`, `mean`, `std` are float32 `(1152,)`, `content_mean`, `content_std` are `(1280,)`; a family without a tensor
counts for nothing. `backbones` has the sha256 of each network whose families count. Where it names `vgg` or `squeeze`
in AlexNet's place, the first three have that backbone's channels, and an empty sha256 goes with any weights of it.
Files of the format before, `clpips-weights-1`, have one tensor `weights`, which is read as `aligned`.

Never a pickle. The files that ship with the project are in `models/data/weights`, and known by their names.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.numpy

from clpips.models.metric.backbone import MIN_SIDE, SHIPPED_FINGERPRINT
from clpips.models.metric.content import CONTENT_FINGERPRINT
from clpips.models.metric.families import (
    ALEX_LAYOUT,
    ALEXNET,
    CONTENT,
    FAMILIES,
    LAYOUTS,
    NETWORKS,
    PLACES,
    ZLayout,
)
from clpips.models.metric.nets import ALEX
from clpips.models.metric.trained_on import TrainedOn
from clpips.models.metric.weights import LayerWeights, WeightsError, combine_families
from clpips.models.metric.whole_files import write_whole

FORMAT: Final = "clpips-weights-2"
FORMAT_1: Final = "clpips-weights-1"
ANY_FILE: Final = ""  # the fingerprint of weights that go with any weights of their backbone
FOR_EVERYBODY: Final = ("lpips", "balanced")  # among the shipped ones
MAX_RESOLUTION: Final = 65_535  # pixels a side: no format that is read has larger images, and native size has no limit
SHIPPED_WEIGHTS: Final = Path(__file__).parent.parent / "data" / "weights"


def load_weights(name_or_path: str | Path = "lpips", net: str = "alex") -> LayerWeights:
    """Load weights by shipped name (`lpips`) or from a file; `lpips` and `balanced` are those for the backbone `net`.

    Raises `WeightsError` where there is neither, or the file is not sound.

    >>> load_weights("lpips").values.sum().round()
    np.float32(105.0)
    """
    if net != "alex" and name_or_path == "balanced":
        return _balanced(LAYOUTS[net])
    own = f"lpips-{net}" if net != "alex" and name_or_path == "lpips" else str(name_or_path)
    shipped = SHIPPED_WEIGHTS / f"{own}.safetensors"
    path = shipped if own == Path(own).name and shipped.is_file() else Path(name_or_path)
    try:
        return parse_weights(path.read_bytes(), str(path))
    except OSError as error:
        raise WeightsError(
            f"cannot read the weights {str(name_or_path)!r}: {error.strerror}; "
            f"give a file, or one of the shipped: {', '.join(shipped_weights(net))}"
        ) from error


def shipped_weights(net: str = "alex") -> list[str]:
    """The names of the weights that ship with the project for a backbone, those for everybody first.

    >>> shipped_weights(), shipped_weights("vgg")
    (['lpips', 'balanced', 'clpips-materials'], ['lpips', 'balanced'])
    """
    if net != "alex":
        return list(FOR_EVERYBODY)
    names = {path.stem for path in SHIPPED_WEIGHTS.glob("*.safetensors")}
    of_others = {f"lpips-{other}" for other in LAYOUTS}
    return [*FOR_EVERYBODY, *sorted(names - set(FOR_EVERYBODY) - of_others)]


def _balanced(layout: ZLayout) -> LayerWeights:
    """`balanced` for another backbone: each family makes as much of a distance as it does with AlexNet.

    It takes a family's channel distances to be AlexNet's on average: they have not been measured with this backbone.
    """
    own = load_weights("balanced")
    families = {}
    for family in FAMILIES:
        part, place = own.values[own.layout.places[family.name]], layout.places[family.name]
        count = place.stop - place.start
        families[family.name] = np.full(count, part.mean() * len(part) / count, np.float32)
    return LayerWeights(
        combine_families(families, layout), own.name, backbone=ANY_FILE, recipe="equal weights", created=own.created
    )


def save_weights(weights: LayerWeights, path: Path) -> None:
    """Write a weights file; a reader sees the old content or the new, never half of it."""
    write_whole(path, format_weights(weights))


def format_weights(weights: LayerWeights) -> bytes:
    """The weights as the bytes of a weights file (format `clpips-weights-2`).

    >>> parse_weights(format_weights(load_weights("lpips"))).name
    'lpips'
    """
    net = weights.layout.net
    prints = {ALEXNET: weights.backbone, CONTENT: CONTENT_FINGERPRINT}
    names = {ALEXNET: ALEXNET if net == ALEX else net.name, CONTENT: CONTENT}
    used = weights.networks or {ALEXNET}
    if net != ALEX:
        used |= {ALEXNET}  # the name says how long the families are
    metadata = {
        "format": FORMAT,
        "name": weights.name,
        "parent": weights.parent or "",
        "backbones": json.dumps({names[name]: prints[name] for name in NETWORKS if name in used}),
        "resolution": "native" if weights.resolution is None else str(weights.resolution),
        "created": weights.created,
        "recipe": weights.recipe,
        "agreement": json.dumps(weights.agreement, sort_keys=True),
        "trained_on": json.dumps(weights.trained_on.as_metadata()),
    }
    tensors = {
        family.name: weights.values[weights.layout.places[family.name]]
        for family in FAMILIES
        if family.name in weights.families
    }
    return _in_order(safetensors.numpy.save(tensors or {"aligned": weights.aligned}, metadata))


def parse_weights(content: bytes, source: str = "the weights file") -> LayerWeights:
    """Read the bytes of a weights file. Raises `WeightsError`, with `source` named, for anything but a sound one."""
    try:
        tensors = safetensors.numpy.load(content)
        metadata = _metadata(content)
    except (safetensors.SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise WeightsError(f"{source} is not a safetensors file: {error}") from error
    if metadata.get("format") == FORMAT_1 and tensors.keys() == {"weights"}:
        tensors = {"aligned": tensors["weights"]}
        metadata["backbones"] = json.dumps({ALEXNET: metadata.get("backbone")})
    elif metadata.get("format") != FORMAT or not tensors or not tensors.keys() <= PLACES.keys():
        raise WeightsError(
            f"{source} is no weights file: expected format={FORMAT!r} in the metadata and tensors among "
            f"{', '.join(PLACES)}, found tensors {sorted(tensors)} and format={metadata.get('format', '')[:40]!r}"
        )
    try:
        for name, tensor in tensors.items():
            if not np.issubdtype(tensor.dtype, np.floating):
                raise WeightsError(f"{source}: {name!r} must be floating-point numbers, these are {tensor.dtype}")
        backbones = dict(json.loads(metadata["backbones"]))
        layout = next((LAYOUTS[net] for net in backbones if net in LAYOUTS), ALEX_LAYOUT)
        if layout is not ALEX_LAYOUT:
            backbones[ALEXNET] = backbones.pop(layout.net.name)
        resolution = None if metadata["resolution"] == "native" else _resolution(metadata["resolution"])
        agreement = json.loads(metadata.get("agreement") or "{}")
        trained_on = json.loads(metadata.get("trained_on") or "{}")
        weights = LayerWeights(
            combine_families(tensors, layout),
            name=metadata["name"],
            parent=metadata.get("parent") or None,
            backbone=str(backbones.get(ALEXNET, SHIPPED_FINGERPRINT)),
            resolution=resolution,
            recipe=metadata.get("recipe", ""),
            created=metadata.get("created", ""),
            agreement=agreement if isinstance(agreement, dict) else {},
            trained_on=TrainedOn.of_metadata(trained_on if isinstance(trained_on, dict) else {}),
        )
        _require_backbones(weights, backbones, source)
    except KeyError as error:
        raise WeightsError(f"{source} lacks {error} in its metadata") from error
    except TypeError as error:  # JSON of another shape, like null for an object
        raise WeightsError(f"{source} has metadata of another shape than expected: {error}") from error
    except RecursionError:
        raise WeightsError(f"{source} has metadata that is nested too deeply") from None
    except ValueError as error:
        raise error if isinstance(error, WeightsError) else WeightsError(f"{source}: {error}") from error
    return weights


def _require_backbones(weights: LayerWeights, backbones: dict[str, Any], source: str) -> None:
    """Raise `WeightsError` where a network that counts is not named, or is another content network than the shipped."""
    for name in NETWORKS:
        if name in weights.networks and name not in backbones:
            raise WeightsError(f"{source} lacks the sha256 of {name} in its `backbones`")
    if CONTENT in weights.networks and backbones[CONTENT] != CONTENT_FINGERPRINT:
        raise WeightsError(
            f"{source} belongs to the content network {str(backbones[CONTENT])[:12]}…, this is "
            f"{CONTENT_FINGERPRINT[:12]}…, and distances would mean nothing: fit again"
        )


def _resolution(text: str) -> int:
    """Raises `WeightsError` for what is no number of pixels a side."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_RESOLUTION))):
        raise WeightsError(f"the resolution in the metadata is {text[:40]!r}, expected pixels a side, or 'native'")
    resolution = int(text)
    if not MIN_SIDE <= resolution <= MAX_RESOLUTION:
        raise WeightsError(f"the resolution in the metadata is {text}, expected {MIN_SIDE} to {MAX_RESOLUTION} pixels")
    return resolution


def _in_order(content: bytes) -> bytes:
    """The same file with its header's keys in order, which safetensors shuffles: equal weights are equal bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # as the format has it: the tensors begin at a multiple of 8 bytes
    return len(header).to_bytes(8, "little") + header + content[end:]


def _metadata(content: bytes) -> dict[str, str]:
    header_length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + header_length]).get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else {}
