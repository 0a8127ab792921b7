"""What scoring answers: frozen dataclasses, which notebooks show with thumbnails."""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clpips_client.pictures import Picture
from clpips_client.showing import gallery, picture_html

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Profile:
    """The weights that an answer was computed with; equal weights have equal fingerprints."""

    name: str
    version: int
    fingerprint: str


@dataclass(frozen=True)
class Engine:
    """What ran the backbone. Distances compare only where `backbone` is the same."""

    name: str
    device: str
    precision: str
    convolution: str
    backbone: str


@dataclass(frozen=True)
class Ranked:
    """A candidate in its place."""

    rank: int  # 1 is the most similar
    index: int  # where it stood among the candidates
    distance: float  # 0 for identical images; larger is less similar
    base_rank: int  # by plain LPIPS
    base_distance: float
    candidate: str  # its name, `sha256:…`


@dataclass(frozen=True)
class Ranking(Sequence[Ranked]):
    """Candidates, the most similar first. It is a sequence of them."""

    ranking: tuple[Ranked, ...]
    target: str  # its name, `sha256:…`
    profile: Profile
    engine: Engine
    comparison: str | None = None  # by which a person's order of it is taught; None where it was asked for in parts
    pictures: tuple[Picture, ...] = field(default=(), repr=False, compare=False)  # the target, then the candidates

    @property
    def best(self) -> Ranked:
        """The most similar candidate."""
        return self.ranking[0]

    @property
    def order(self) -> list[int]:
        """The places of the candidates in the request, the most similar first."""
        return [one.index for one in self.ranking]

    def __len__(self) -> int:
        return len(self.ranking)

    def __getitem__(self, place: Any) -> Any:
        return self.ranking[place]

    def to_pandas(self) -> "pd.DataFrame":
        """A row for each candidate, the most similar first. Raises `ImportError` where pandas is not installed."""
        return _pandas().DataFrame([asdict(one) for one in self.ranking])

    def _repr_html_(self) -> str:
        captions = [f"{one.rank}. #{one.index} · {one.distance:.4f}" for one in self.ranking]
        shown = [self.pictures[1 + one.index] for one in self.ranking] if self.pictures else []
        return gallery(["target", *captions], [*self.pictures[:1], *shown])


@dataclass(frozen=True)
class Pair:
    """The names of the two images of a pair."""

    target: str
    candidate: str


@dataclass(frozen=True)
class Distances:
    """The distance of each pair, in the order of the request. Of a single pair, `float()` is its distance."""

    distances: tuple[float, ...]
    pairs: tuple[Pair, ...]
    profile: Profile
    engine: Engine
    layers: tuple[tuple[float, ...], ...] | None = None  # what each of AlexNet's layers adds, where asked for
    families: tuple[dict[str, float], ...] | None = None  # what each family of channels adds, where asked for

    def __float__(self) -> float:
        if len(self.distances) != 1:
            raise TypeError(f"these are {len(self.distances)} distances; take one of `.distances`")
        return self.distances[0]

    def to_pandas(self) -> "pd.DataFrame":
        """A row for each pair. Raises `ImportError` where pandas is not installed."""
        rows = [{**asdict(pair), "distance": value} for pair, value in zip(self.pairs, self.distances, strict=True)]
        return _pandas().DataFrame(rows)


@dataclass(frozen=True)
class Heatmap:
    """Where a candidate differs from its target: the file, and what its headers say."""

    content: bytes = field(repr=False)
    format: str  # `png`, or `npy`: float32 (H, W)
    distance: float
    families: dict[str, float]  # what each family of channels adds to the distance; the map shows `aligned`
    unplaced: float  # the share of the distance that has no place, and is not in the map
    low: float  # the values of the darkest and the lightest colour
    high: float
    profile: str
    version: int

    def save(self, path: "str | PathLike[str]") -> None:
        """Write the file."""
        Path(path).write_bytes(self.content)

    def to_numpy(self) -> NDArray[np.float32]:
        """The values of a map that was asked for as `npy`, `(H, W)`."""
        if self.format != "npy":
            raise TypeError("a picture has no values: ask for the heat map with format='npy'")
        values: NDArray[np.float32] = np.load(io.BytesIO(self.content), allow_pickle=False)
        return values

    def _repr_html_(self) -> str:
        caption = f"{self.distance:.4f}, {self.unplaced:.0%} of it without a place"
        if self.format != "png":
            return gallery([caption], [])
        return f"<figure>{picture_html(self.content)}<figcaption>{caption}</figcaption></figure>"


@dataclass(frozen=True)
class Diversity:
    """The mean distance of all pairs of a set, and its 95 % interval, which two images do not have."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Matrix:
    """The distance of every image of a set from every other."""

    distances: tuple[tuple[float, ...], ...]  # symmetric, 0 on the diagonal
    images: tuple[str, ...]  # their names, in the order of the request
    diversity: Diversity
    profile: Profile
    engine: Engine

    def to_numpy(self) -> NDArray[np.float64]:
        """The distances, `(n, n)`."""
        return np.array(self.distances)

    def to_pandas(self) -> "pd.DataFrame":
        """The distances by places. Raises `ImportError` where pandas is not installed."""
        return _pandas().DataFrame(self.to_numpy())


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install pandas") from error
    return pd
