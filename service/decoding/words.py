"""What decoders say on their standard error, as lines of the service's log; each line once in a while."""

import threading
import time
from collections import OrderedDict
from typing import IO, Final

import structlog

LONGEST_LINE: Final = 1000  # characters that are logged
REMEMBERED: Final = 512  # lines, of which one that comes again is not logged
AGAIN_SECONDS: Final = 600.0  # after which it is

log = structlog.get_logger()


class DecoderWords:
    """Reads a pipe in a thread, until all who write to it have ended."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._said: OrderedDict[str, float] = OrderedDict()
        self._thread = threading.Thread(target=self._read, name="decoder words", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until the pipe has ended."""
        self._thread.join()

    def _read(self) -> None:
        with self._pipe as pipe:
            while line := pipe.readline(LONGEST_LINE):
                if text := line.decode("utf-8", "replace").strip():
                    self._say(text)

    def _say(self, text: str) -> None:
        now = time.monotonic()
        said = self._said.pop(text, -AGAIN_SECONDS)
        again = now - said >= AGAIN_SECONDS
        self._said[text] = now if again else said
        while len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
        if again:
            log.warning("a decoder says", words=text)
