"""Folders of a job: on this machine, or wherever fsspec writes (`s3://…`, `gs://…`). A file is there whole or not.

On a disk it is written under another name, flushed and renamed; an object store shows an object when all of it has
come.
"""

import os
import urllib.parse
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from clpips.models.bulk.errors import BulkError, StoreError, require

PARTIAL = ".partial"  # in the names of files that are being written
BLOCK_BYTES = 2**16  # that a store gives at a time, where a file is read here and there


def is_url(place: str) -> bool:
    """Whether a place is a URL and not a path: `C:\\x` is none.

    >>> is_url("s3://bucket/pairs.parquet"), is_url("/data/pairs.parquet")
    (True, False)
    """
    scheme, separator, _ = place.partition("://")
    return bool(separator) and len(scheme) > 1


def local_path(place: str) -> str:
    """A `file://` URL as a path, percent-decoded where no file is called as it is written; others as they are.

    >>> local_path("file:///data/a%20b.png"), local_path("s3://bucket/a%20b.png")
    ('/data/a b.png', 's3://bucket/a%20b.png')
    """
    if not place.startswith("file://"):
        return place
    path = place.removeprefix("file://")
    if path.startswith("localhost/"):
        path = path.removeprefix("localhost")
    return path if os.path.lexists(path) else urllib.parse.unquote(path)


@contextmanager
def store_errors(place: str) -> Iterator[None]:
    """Raise what a store raises, whose errors are of its own kinds, as `StoreError`, or as `OSError` with its place."""
    try:
        yield
    except OSError as error:
        error.strerror = error.strerror or str(error)
        error.filename = error.filename or place
        raise
    except BulkError:
        raise
    except Exception as error:
        raise StoreError(f"{place}: {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error


def filesystem_of(url: str) -> tuple[Any, str]:
    """fsspec's filesystem of a URL, and the path in it. Raises `BulkError` where the protocol cannot be had."""
    fsspec = require("fsspec", "bulk", "reading from URLs")
    scheme = url.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        if scheme in _MODULES:
            require(_MODULES[scheme], "gcs" if scheme in {"gs", "gcs"} else "bulk", f"{scheme}://")
        raise BulkError(f"{scheme}:// cannot be read: {error}") from error
    except ValueError as error:
        raise BulkError(f"{url}: {error}") from error


_MODULES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}


class Folder:
    """A folder by its path or URL; made when something is written."""

    def __init__(self, place: str | Path) -> None:
        text = local_path(os.fspath(place))
        self.place = text.rstrip("/") if is_url(text) else str(Path(text).absolute())
        self.local: Path | None = None
        if is_url(self.place):
            self._fs, self._root = filesystem_of(self.place)
        else:
            self.local = Path(self.place)

    def sub(self, name: str) -> "Folder":
        return Folder(f"{self.place}/{name}")

    def path(self, name: str) -> str:
        """The path or URL of a file."""
        return f"{self.place}/{name}"

    def files(self, names: Sequence[str]) -> tuple[list[str], Any]:
        """The paths of files, and the filesystem of fsspec that has them; None is this machine's."""
        if self.local is not None:
            return [self.path(name) for name in names], None
        return [f"{self._root}/{name}" for name in names], self._fs

    def names(self) -> set[str]:
        """The names of what is in the folder; none where there is no folder."""
        if self.local is not None:
            return set(os.listdir(self.local)) if self.local.is_dir() else set()  # noqa: PTH208  names are wanted
        self._fs.invalidate_cache()
        try:
            with store_errors(self.place):
                return {entry.rstrip("/").rpartition("/")[2] for entry in self._fs.ls(self._root, detail=False)}
        except FileNotFoundError:
            return set()

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """A file's bytes, or so many of them from `start`. Raises `FileNotFoundError`."""
        if self.local is not None:
            with (self.local / name).open("rb") as file:
                file.seek(start)
                return file.read(-1 if length is None else length)
        end = None if length is None else start + length
        with store_errors(self.path(name)):
            content: bytes = self._fs.cat_file(f"{self._root}/{name}", start=start or None, end=end)
        return content

    def open(self, name: str) -> BinaryIO:
        """A file to read here and there: of one in a store what is asked for comes, and not much more."""
        if self.local is not None:
            return (self.local / name).open("rb")
        with store_errors(self.path(name)):
            file: BinaryIO = self._fs.open(f"{self._root}/{name}", "rb", block_size=BLOCK_BYTES)
        return file

    def write(self, name: str, content: bytes) -> None:
        """Write a file: a reader finds all of it, or what was there before."""
        with self.writing(name) as file:
            file.write(content)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A file to write into, which is there when all of it is written; an error leaves what was there before."""
        if self.local is None:
            with store_errors(self.path(name)):
                upload = self._fs.open(f"{self._root}/{name}", "wb", autocommit=False)
                try:
                    yield upload
                    upload.close()
                except BaseException:
                    upload.discard()
                    raise
                upload.commit()
            return
        self.local.mkdir(parents=True, exist_ok=True)
        partial = self.local / f".{name}.{uuid.uuid4().hex[:8]}{PARTIAL}"
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.local / name)
        except OSError as error:
            partial.unlink(missing_ok=True)
            if error.filename is None and error.errno is not None:  # a full disk does not say which
                error.filename = str(self.local / name)
            raise
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def sweep(self) -> None:
        """Delete what killed writers left behind. Nobody else may be writing."""
        if self.local is not None:
            for path in self.local.glob(f".*{PARTIAL}"):
                path.unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete the folder with all that is in it."""
        if self.local is not None:
            import shutil

            shutil.rmtree(self.local, ignore_errors=True)
        else:
            with store_errors(self.place):
                if self._fs.exists(self._root):
                    self._fs.rm(self._root, recursive=True)
