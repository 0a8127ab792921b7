"""Static files: the studio's page, its modules and its styles, read once and named by what they hold.

Every file but the page is served below a digest of them all, and may be cached for ever: a new version of the service
has a new digest, so that no browser mixes modules of two versions.
"""

import hashlib
from pathlib import Path
from typing import Final, NamedTuple, Self

FOLDER: Final = Path(__file__).parent
PAGE: Final = "studio/studio.html"
ASSETS: Final = "@assets"  # in the page: the folder that its files are served from
MEDIA_TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    "": "text/plain",  # licences
}
# Everything comes from the service: no script, style or address of the page's own text, none of another host. Pictures
# are drawn from pixels that the browser has decoded (blob:). A string becomes no markup; the one worker has a policy.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types studio",
    ]
)


class File(NamedTuple):
    """A file as it is served."""

    content: bytes
    media_type: str
    etag: str


class Pages:
    """The files of the pages, in memory: some 200 KB."""

    def __init__(self, files: dict[str, bytes]) -> None:
        whole = hashlib.sha256()
        for name in sorted(files):
            whole.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(files[name]).digest())
        self.digest = whole.hexdigest()[:16]
        self._files = {name: _file(name, content) for name, content in files.items() if name != PAGE}
        page = files[PAGE].replace(ASSETS.encode(), f"studio/{self.digest}".encode())
        self.page = _file(PAGE, page)

    @classmethod
    def load(cls) -> Self:
        """Those that ship with the service."""
        found = [path for path in FOLDER.rglob("*") if path.is_file() and path.suffix in MEDIA_TYPES]
        return cls({path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in found})

    def find(self, name: str) -> File | None:
        """The file of this name, relative to the folder of pages; None where there is none."""
        return self._files.get(name)


def _file(name: str, content: bytes) -> File:
    return File(content, MEDIA_TYPES[Path(name).suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
