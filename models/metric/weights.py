"""The 1152 layer-combination weights: what is learned, and where it came from."""

import json
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as format_safetensors

from clpips.models.metric.backbone import DATA, LAYERS, SHIPPED_FINGERPRINT, TOTAL_CHANNELS

FORMAT = "clpips-weights-1"
DEFAULT_RESOLUTION = 256


class WeightsError(ValueError):
    """Weights that cannot be used: the message says what was expected and what came."""


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Layer-combination weights, float32 `(1152,)`, finite and ≥ 0, with their provenance.

    `backbone` is the fingerprint of the backbone that they were learned on, `resolution` the scoring resolution in
    pixels (None: native size), `agreement` what they reached on targets held out of the fit.
    """

    values: NDArray[np.float32]
    name: str
    parent: str | None = None
    backbone: str = SHIPPED_FINGERPRINT
    resolution: int | None = DEFAULT_RESOLUTION
    recipe: str = ""
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    agreement: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", checked_values(self.values))

    def layer_shares(self) -> list[float]:
        """Each layer's share of the sum of all weights: five numbers that add up to 1 (all 0 for all-zero weights)."""
        sums = [float(self.values[layer].sum(dtype=np.float64)) for layer in LAYERS]
        total = math.fsum(sums)
        return [share / total if total else 0.0 for share in sums]

    def to_bytes(self) -> bytes:
        """The weights as a safetensors file (format `clpips-weights-1`)."""
        metadata = {
            "format": FORMAT,
            "name": self.name,
            "parent": self.parent or "",
            "backbone": self.backbone,
            "resolution": "native" if self.resolution is None else str(self.resolution),
            "created": self.created,
            "recipe": self.recipe,
            "agreement": json.dumps(self.agreement, sort_keys=True),
        }
        return format_safetensors({"weights": self.values}, metadata)

    def save(self, path: Path) -> None:
        """Write the file; a reader sees the old content or the new, never half of it."""
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(self.to_bytes())
        partial.replace(path)

    def require_backbone(self, fingerprint: str) -> None:
        """Raise `WeightsError` unless the weights were learned on the backbone with this fingerprint."""
        if self.backbone != fingerprint:
            raise WeightsError(
                f"the weights {self.name!r} belong to the backbone {self.backbone[:12]}…, this one is "
                f"{fingerprint[:12]}…, and distances would mean nothing: load their backbone, or fit again"
            )

    def renamed(self, name: str) -> "LayerWeights":
        return replace(self, name=name)


def checked_values(values: NDArray[Any]) -> NDArray[np.float32]:
    """`values` as a read-only float32 `(1152,)`. Raises `WeightsError` for a wrong shape, dtype or value."""
    if values.shape != (TOTAL_CHANNELS,):
        raise WeightsError(f"weights must have the shape ({TOTAL_CHANNELS},), these have {values.shape}")
    if not np.issubdtype(values.dtype, np.floating):
        raise WeightsError(f"weights must be floating-point numbers, these are {values.dtype}")
    if not np.isfinite(values).all():
        raise WeightsError("weights must be finite, these have NaN or infinity")
    if (values < 0).any():
        raise WeightsError(f"weights must be ≥ 0, the smallest of these is {values.min():g}")
    checked = np.array(values, dtype=np.float32)
    if not np.isfinite(checked).all():
        raise WeightsError("weights must fit into float32, these overflow")
    checked.flags.writeable = False
    return checked


def parse_weights(content: bytes, source: str = "the weights file") -> LayerWeights:
    """Read the bytes of a weights file. Raises `WeightsError`, with `source` named, for anything but a sound one."""
    try:
        tensors = parse_safetensors(content)
        metadata = _metadata(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{source} is not a safetensors file: {error}") from error
    if metadata.get("format") != FORMAT or "weights" not in tensors:
        raise WeightsError(
            f"{source} is no weights file: expected a tensor 'weights' and format={FORMAT!r} in the metadata, "
            f"found tensors {sorted(tensors)} and format={metadata.get('format')!r}"
        )
    try:
        resolution = None if metadata["resolution"] == "native" else int(metadata["resolution"])
        agreement = json.loads(metadata.get("agreement") or "{}")
        return LayerWeights(
            tensors["weights"],
            name=metadata["name"],
            parent=metadata.get("parent") or None,
            backbone=metadata["backbone"],
            resolution=resolution,
            recipe=metadata.get("recipe", ""),
            created=metadata.get("created", ""),
            agreement=agreement if isinstance(agreement, dict) else {},
        )
    except KeyError as error:
        raise WeightsError(f"{source} lacks {error} in its metadata") from error
    except ValueError as error:
        raise error if isinstance(error, WeightsError) else WeightsError(f"{source}: {error}") from error


def _metadata(content: bytes) -> dict[str, str]:
    header_length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + header_length]).get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else {}


def load_weights(name_or_path: str | Path = "lpips") -> LayerWeights:
    """Load weights by shipped name (`lpips`) or from a file.

    Raises `WeightsError` where there is neither, or the file is not sound.
    """
    shipped = DATA / f"{name_or_path}.safetensors"
    path = shipped if str(name_or_path) in shipped_weights() else Path(name_or_path)
    try:
        return parse_weights(path.read_bytes(), str(path))
    except OSError as error:
        raise WeightsError(
            f"cannot read the weights {str(name_or_path)!r}: {error.strerror}; "
            f"give a file, or one of the shipped: {', '.join(shipped_weights())}"
        ) from error


def shipped_weights() -> list[str]:
    """The names of the weights that ship with the project, `lpips` first."""
    names = {path.stem for path in DATA.glob("*.safetensors")} - {"alexnet-imagenet1k-v1"}
    return sorted(names, key=lambda name: (name != "lpips", name))
