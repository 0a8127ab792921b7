"""Errors of bulk scoring that end a job. What is wrong with an image never does: it is an `error` in its row."""

import importlib
from types import ModuleType

from clpips.models.installing import install_hint


class BulkError(ValueError):
    """A job that cannot be done as it is asked for; the message says what to change."""


class StoreError(BulkError):
    """A store that does not do what it is asked to; another try may find it better."""


class TooManyErrorsError(BulkError):
    """More rows than allowed have errors."""


def require(module: str, extra: str, why: str) -> ModuleType:
    """A module that an extra installs. Raises `BulkError` with how to install it, where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BulkError(f"{why} needs {module.partition('.')[0]}: {install_hint(extra)}") from error
