"""The time of day as tests set it."""

from datetime import UTC, datetime

import pytest

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Clock:
    """A time of day that stands still until it is moved."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
