"""CLPIPS for ComfyUI: nodes that rank images by their similarity to a target, and learn what a person means by it."""

from .clpips_nodes import comfy_entrypoint

__all__ = ["comfy_entrypoint"]
