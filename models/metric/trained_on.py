"""Training-set membership: hashes of the rankings and images that weights were fitted to, lest they be judged by those.

A ranking or an image is the first eight bytes of its sha256: eleven characters of base64 each in a weights file, 11 kB
for a thousand images. Of a million, two share a hash with a chance of 3 in 10⁸.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Self

SIZE: Final = 8  # bytes of a hash


@dataclass(frozen=True)
class TrainedOn:
    """Hashes, `SIZE` bytes each, of rankings and of images."""

    rankings: frozenset[bytes] = frozenset()
    images: frozenset[bytes] = frozenset()

    def __or__(self, other: Self) -> "TrainedOn":
        return TrainedOn(self.rankings | other.rankings, self.images | other.images)

    def __bool__(self) -> bool:
        return bool(self.rankings or self.images)

    def as_metadata(self) -> dict[str, str]:
        """As a weights file has it: base64 of the hashes, sorted, end to end.

        >>> TrainedOn(images=frozenset([short_hash("a.png")])).as_metadata()
        {'rankings': '', 'images': 'fwcSNYBfv1g='}
        """
        return {"rankings": _packed(self.rankings), "images": _packed(self.images)}

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """The reverse. Raises `ValueError` for what are no hashes."""
        return cls(*(_unpacked(metadata.get(name, "")) for name in ("rankings", "images")))


def short_hash(content: str) -> bytes:
    """The first `SIZE` bytes of the sha256 of a text."""
    return hashlib.sha256(content.encode()).digest()[:SIZE]


def _packed(hashes: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(hashes))).decode("ascii")


def _unpacked(text: str) -> frozenset[bytes]:
    content = base64.b64decode(text, validate=True)
    if len(content) % SIZE:
        raise ValueError(f"trained_on must hold hashes of {SIZE} bytes each, it has {len(content)} bytes")
    return frozenset(content[start : start + SIZE] for start in range(0, len(content), SIZE))
