"""Files that are written whole: a reader sees the old content or the new, never half of it."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, which takes the place of what is at `path` once all of it is there; if that fails, nothing is left.

    A link stays one, and what is no plain file stays what it is: a device or a pipe is written to, a folder is refused.
    An `OSError` names the file, also where it is the disk that is full.
    """
    path = Path(os.path.realpath(path))
    is_other = path.exists() and not path.is_file()
    written = path if is_other else path.with_name(path.name + ".partial")
    try:
        written.write_bytes(content)
        if not is_other:
            written.replace(path)
    except OSError as error:
        if not is_other:
            written.unlink(missing_ok=True)
        if error.filename is None:  # of a write, which knows no name
            error.filename = str(path)
        raise
