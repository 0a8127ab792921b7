"""Sliding window over a request's pairs: how many may be in work at a time for their images to fit into memory."""

from collections.abc import Mapping, Sequence

Pair = tuple[str, str]  # two images, by their hashes


def live_bytes(pairs: Sequence[Pair], nbytes: Mapping[str, int], width: int) -> int:
    """The most bytes of images that are needed at a time while `width` pairs are in work, in their order.

    An image is needed from the first pair that it is in to the last. `nbytes` has what each image takes; one that is
    not there takes nothing.

    >>> live_bytes([("t", "a"), ("t", "b"), ("t", "c")], {"t": 1, "a": 1, "b": 1, "c": 1}, width=1)
    2
    >>> live_bytes([("a", "b"), ("c", "d"), ("a", "d")], {"a": 1, "b": 1, "c": 1, "d": 1}, width=1)
    3
    """
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for number, pair in enumerate(pairs):
        for image in pair:
            first.setdefault(image, number)
            last[image] = number
    changes = [0] * (len(pairs) + 1)  # of the bytes needed, from the window that begins at one pair to the next
    for image, begin in first.items():
        changes[max(begin - width + 1, 0)] += nbytes.get(image, 0)
        changes[last[image] + 1] -= nbytes.get(image, 0)
    needed = most = 0
    for change in changes:
        needed += change
        most = max(most, needed)
    return most


def window(pairs: Sequence[Pair], nbytes: Mapping[str, int], most: int) -> int:
    """How many pairs may be in work at a time for their images to take at most `most` bytes; 1 where even one does not.

    >>> window([("t", "a"), ("t", "b"), ("t", "c")], {"t": 10, "a": 10, "b": 10, "c": 10}, most=30)
    2
    """
    fits, exceeds = 1, len(pairs) + 1
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        if live_bytes(pairs, nbytes, middle) <= most:
            fits = middle
        else:
            exceeds = middle
    return fits
