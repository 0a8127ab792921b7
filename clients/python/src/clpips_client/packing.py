"""Bodies: MessagePack, in which images travel as they are, where JSON would make them a third longer, and JSON."""

import json
import struct
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, TypeAlias, Union

Tree: TypeAlias = Union[bool, int, float, str, bytes, "Sequence[Tree]", "Mapping[str, Tree]", None]


def pack(tree: Tree) -> bytes:
    """A tree as MessagePack. Raises `TypeError` for values of other types, `struct.error` for integers of over 63 bits.

    >>> pack([None, True, "a", b"b"]).hex()
    'dd00000004c0c3db0000000161c60000000162'
    """
    parts: list[bytes] = []
    _pack(tree, parts)
    return b"".join(parts)


def json_of(tree: Any) -> bytes:
    """A tree as JSON; numbers and arrays may be numpy's or PyTorch's. Raises `TypeError` for values of other types."""
    return json.dumps(tree, default=_plain).encode()


def _plain(value: Any) -> Any:
    if not hasattr(value, "tolist"):
        raise TypeError(f"a request has no values of the type {type(value).__name__}")
    return value.tolist()


def _pack(tree: Tree, parts: list[bytes]) -> None:
    """Each value in the one form that has room for the largest: requests have few values, and their images are long."""
    if tree is None:
        parts.append(b"\xc0")
    elif isinstance(tree, bool):
        parts.append(b"\xc3" if tree else b"\xc2")
    elif isinstance(tree, Integral):  # numpy's, too
        parts.append(struct.pack(">Bq", 0xD3, int(tree)))
    elif isinstance(tree, float):
        parts.append(struct.pack(">Bd", 0xCB, tree))
    elif isinstance(tree, str):
        text = tree.encode()
        parts += [struct.pack(">BI", 0xDB, len(text)), text]
    elif isinstance(tree, bytes):
        parts += [struct.pack(">BI", 0xC6, len(tree)), tree]
    elif isinstance(tree, Mapping):
        parts.append(struct.pack(">BI", 0xDF, len(tree)))
        for name, value in tree.items():
            _pack(name, parts)
            _pack(value, parts)
    elif isinstance(tree, Sequence):
        parts.append(struct.pack(">BI", 0xDD, len(tree)))
        for value in tree:
            _pack(value, parts)
    else:
        raise TypeError(f"a request has no values of the type {type(tree).__name__}")
