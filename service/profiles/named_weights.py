"""Named weights: what a request's `profile` stands for once it is found, shipped or taught."""

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

from clpips.models.metric.packing import trim_weights
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import load_weights, shipped_weights
from clpips.service.storage.records import Profile, WeighedVersion
from clpips.service.wire.schemas import ProfileInfo

BASE: Final = "lpips"  # the weights that everything is compared with


class NamedWeights(NamedTuple):
    """Weights, and what replies say of them: their name, version and fingerprint."""

    info: ProfileInfo
    weights: LayerWeights

    @classmethod
    def of(cls, name: str, version: int, weights: LayerWeights) -> Self:
        """These weights as version `version` of `name`; the fingerprint is the hash of their values.

        Where no family of the content network counts, of AlexNet's families' alone.
        """
        values = trim_weights(weights.values)
        return cls(ProfileInfo(name, version, hashlib.sha256(values.tobytes()).hexdigest()), weights)

    @classmethod
    def stored(cls, profile: Profile, version: WeighedVersion) -> Self:
        """A version of a stored profile, with its provenance as a weights file keeps it."""
        weights = LayerWeights(
            version.weights,
            name=profile.name,
            parent=profile.parent,
            backbone=profile.backbone,
            resolution=version.resolution,
            recipe=str(version.report.get("recipe", version.origin)),
            created=version.created_at.isoformat(timespec="seconds"),
            agreement=dict(version.report.get("agreement") or {}),
        )
        return cls.of(profile.name, version.number, weights)


class ShippedWeights:
    """The weights that ship with the project, by name; each has one version, 1."""

    def __init__(self, weights: Mapping[str, LayerWeights]) -> None:
        self._weights = {name: NamedWeights.of(name, 1, one) for name, one in weights.items()}
        self.base = self._weights[BASE]

    @classmethod
    def load(cls, backbone: str, net: str = "alex") -> Self:
        """All weights that ship for a backbone; raises `WeightsError` where they belong to another file of it."""
        weights = {name: load_weights(name, net) for name in shipped_weights(net)}
        for one in weights.values():
            one.require_backbone(backbone, net)
        return cls(weights)

    def __contains__(self, name: str) -> bool:
        return name in self._weights

    def __getitem__(self, name: str) -> NamedWeights:
        """Raises `KeyError` where none of this name ship."""
        return self._weights[name]

    def names(self) -> list[str]:
        return list(self._weights)
