"""The bytes of an image by its name: a path, or a URL of any protocol that fsspec knows; bounded in size and in time.

What goes wrong is an `ImageError` in words for the row. Errors that may pass (5xx, a connection that breaks) are tried
again twice.
"""

import os
import stat
import time
from collections.abc import Callable
from typing import Any, Final

from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.folder import filesystem_of, is_url, local_path
from clpips.models.images.errors import ImageError, TooCostlyError

TRIES: Final = 3
PAUSE_SECONDS: Final = 0.5  # before the second try; twice as long before the third
PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})  # statuses that another try may change


class FetchError(ImageError):
    """An image that did not come."""


class Fetcher:
    """Fetches images by name, from any thread. `root`, a folder or URL, is what relative names are relative to."""

    def __init__(self, root: str, max_bytes: int, seconds: float) -> None:
        self._root = local_path(root)
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._filesystems: dict[str, Any] = {}

    def resolve(self, name: str) -> str:
        """The path or URL that a name in the table means."""
        if is_url(name):
            return local_path(name)
        if os.path.isabs(name) or not self._root:  # noqa: PTH117  names may be URLs' paths
            return name
        return f"{self._root.rstrip('/')}/{name}"

    def fetch(self, name: str) -> bytes:
        """The bytes of an image. Raises `FetchError` or `TooCostlyError`."""
        if not name:
            raise FetchError("no image is named: the cell is empty")
        if "\0" in name:
            raise FetchError("a name has a zero byte in it")
        place = self.resolve(name)
        return self._from_url(place) if is_url(place) else self._from_disk(place)

    def _from_disk(self, path: str) -> bytes:
        try:
            with open(path, "rb", opener=_without_waiting) as file:
                about = os.fstat(file.fileno())
                if not stat.S_ISREG(about.st_mode):
                    raise FetchError("it is no file: a device, a pipe or a socket")
                self._require_size(about.st_size)
                content = file.read(about.st_size + 1)  # room for the limit would be fresh pages for each file
                if len(content) > about.st_size:  # it has grown
                    content += file.read(self._max_bytes + 1 - len(content))
        except OSError as error:
            raise FetchError(error.strerror or str(error)) from error
        self._require_size(len(content))
        return content

    def _from_url(self, url: str) -> bytes:
        scheme = url.partition("://")[0]
        try:
            filesystem = self._filesystems.get(scheme) or self._filesystems.setdefault(scheme, filesystem_of(url)[0])
        except BulkError as error:
            raise FetchError(str(error)) from error
        read = self._over_http if scheme in {"http", "https"} else self._from_store
        for attempt in range(TRIES):
            try:
                content = read(filesystem, url)
            except FileNotFoundError as error:
                raise FetchError("No such file or directory") from error
            except PermissionError as error:
                raise FetchError("the store refuses access to it") from error
            except TimeoutError as error:
                raise FetchError(f"it did not come within {self._seconds:g} s") from error
            except _Refused as error:
                if error.status not in PASSING or attempt == TRIES - 1:
                    raise FetchError(f"the server answers {error.status}") from error
            except ImageError:
                raise
            except Exception as error:  # each store has errors of its own
                if attempt == TRIES - 1:
                    raise FetchError(f"it cannot be fetched: {_words(error)}") from error
            else:
                self._require_size(len(content))
                return content
            time.sleep(PAUSE_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    def _over_http(self, filesystem: Any, url: str) -> bytes:
        async def get() -> bytes:
            session = await filesystem.set_session()
            async with session.get(url) as answer:
                if answer.status >= 400:
                    raise _Refused(answer.status)
                if answer.content_length is not None:
                    self._require_size(answer.content_length)
                content = bytearray()
                async for part in answer.content.iter_chunked(2**16):
                    content += part
                    self._require_size(len(content))
                return bytes(content)

        return self._within(filesystem.loop, get)

    def _from_store(self, filesystem: Any, url: str) -> bytes:
        path = filesystem._strip_protocol(url)
        if not getattr(filesystem, "async_impl", False):
            content: bytes = filesystem.cat_file(path, start=0, end=self._max_bytes + 1)
            return content

        async def get() -> bytes:
            found: bytes = await filesystem._cat_file(path, start=0, end=self._max_bytes + 1)
            return found

        return self._within(filesystem.loop, get)

    def _within(self, loop: Any, get: Callable[[], Any]) -> bytes:
        """Run a coroutine on fsspec's loop, for so many seconds at most."""
        from fsspec.asyn import sync

        content: bytes = sync(loop, get, timeout=self._seconds)
        return content

    def _require_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise TooCostlyError(f"the file has {size:,} bytes or more, the limit is {self._max_bytes:,}")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe that nobody writes into would be waited for


class _Refused(Exception):  # noqa: N818  an answer, and no error yet
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _words(error: Exception) -> str:
    """An error in one line that is the same for every image: without addresses of objects, and not too long."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
