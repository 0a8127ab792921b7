"""Cache of the thumbnails of sessions' images: in memory alone, for a while and within a bound of bytes."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

OVERHEAD_BYTES: Final = 512  # of one entry beside its file


class _Held(NamedTuple):
    content: bytes
    expires: float
    sessions: set[str]  # that have the image: with the last of them it goes


class Thumbnails:
    """WebP files by the hash of their image, for `ttl` seconds and within `max_bytes`: the least used leave first.

    Sessions with the same image share its thumbnail.
    """

    def __init__(self, ttl: int, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl = ttl
        self._max_bytes = max_bytes
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()  # the least recently used first
        self._of: dict[str, set[str]] = {}  # the images of each session
        self.nbytes = 0

    @property
    def has_room(self) -> bool:
        """Whether any is kept at all: else none need be made."""
        return self._max_bytes > 0

    def __contains__(self, image: str) -> bool:
        """Whether some session has the thumbnail of an image."""
        return self._found(image) is not None

    def keep(self, session: str, image: str, content: bytes) -> None:
        """Keep the thumbnail of a session's image."""
        if self.adopt(session, image):
            return
        self._held[image] = _Held(content, self._clock() + self._ttl, {session})
        self._of.setdefault(session, set()).add(image)
        self.nbytes += len(content) + OVERHEAD_BYTES
        while self.nbytes > self._max_bytes:
            self._remove(next(iter(self._held)))

    def adopt(self, session: str, image: str) -> bool:
        """Let a session share the thumbnail of its image that another has; whether there is one."""
        held = self._found(image)
        if held is None:
            return False
        held.sessions.add(session)
        self._of.setdefault(session, set()).add(image)
        return True

    def find(self, session: str, image: str) -> bytes | None:
        """The thumbnail of a session's image, if it is held."""
        held = self._found(image)
        if held is None or session not in held.sessions:
            return None
        self._held.move_to_end(image)
        return held.content

    def images_of(self, session: str) -> frozenset[str]:
        """The images of a session that have thumbnails now."""
        return frozenset(image for image in self._of.get(session, set()).copy() if self._found(image) is not None)

    def forget(self, session: str) -> None:
        """Forget the thumbnails that this session alone has."""
        for image in self._of.pop(session, set()):
            held = self._held[image]
            held.sessions.discard(session)
            if not held.sessions:
                self._remove(image)

    def expire(self) -> None:
        """Forget those whose time is over."""
        for image in list(self._held):
            self._found(image)

    def _found(self, image: str) -> _Held | None:
        held = self._held.get(image)
        if held is not None and held.expires <= self._clock():
            self._remove(image)
            return None
        return held

    def _remove(self, image: str) -> None:
        held = self._held.pop(image)
        self.nbytes -= len(held.content) + OVERHEAD_BYTES
        for session in held.sessions:
            images = self._of.get(session)
            if images is not None:
                images.discard(image)
                if not images:
                    del self._of[session]
