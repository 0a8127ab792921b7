"""Bounds of texts and numbers that the wire contracts share."""

from typing import Any

NO_CONTROLS = r"^[^\x00-\x1f\x7f]*"
MAX_INTEGER = 2**31 - 1  # what a database column holds


def whole(pattern: str) -> dict[str, Any]:
    """A pattern for a whole text: Python's `$` also lies before a line feed at the end, JSON Schema's does not."""
    return {"pattern": pattern + r"\Z", "extra_json_schema": {"pattern": pattern + "$"}}
