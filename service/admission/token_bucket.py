"""Token bucket: a minute's worth of requests at once, refilled evenly."""


class TokenBucket:
    """`per_minute` tokens at most; full at first."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._tokens = float(per_minute)
        self._filled_at: float | None = None

    def take(self, now: float) -> float:
        """Take a token at the time `now` (seconds). 0, or the seconds until there is one to take."""
        elapsed = 0.0 if self._filled_at is None else now - self._filled_at
        self._tokens = min(float(self.per_minute), self._tokens + elapsed * self.per_minute / 60)
        self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) * 60 / self.per_minute
