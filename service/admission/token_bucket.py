"""Token bucket: a minute's worth at once, refilled evenly."""


class TokenBucket:
    """`per_minute` tokens at most; full at first."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._tokens = float(per_minute)
        self._filled_at: float | None = None

    def take(self, now: float, tokens: float = 1.0) -> float:
        """Take so many tokens at the time `now` (seconds). 0, or the seconds until they are there to take.

        More than a minute's worth is given to who finds the bucket full, and is owed then.
        """
        wait = self.wait(now, tokens)
        if not wait:
            self._tokens -= tokens
        return wait

    def wait(self, now: float, tokens: float = 1.0) -> float:
        """The seconds until so many tokens can be taken."""
        elapsed = 0.0 if self._filled_at is None else now - self._filled_at
        self._tokens = min(float(self.per_minute), self._tokens + elapsed * self.per_minute / 60)
        self._filled_at = now
        missing = min(tokens, self.per_minute) - self._tokens
        return max(missing, 0.0) * 60 / self.per_minute
