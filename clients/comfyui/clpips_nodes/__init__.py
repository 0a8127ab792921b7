"""The pack's nodes. This module imports nothing of ComfyUI's, so that the rest can be tested without it."""

from typing import Any


async def comfy_entrypoint() -> Any:
    """The extension that ComfyUI asks a pack for."""
    from .pack import ClpipsExtension

    return ClpipsExtension()
