"""Storage's own exceptions: the database does not answer, or it answers that a change is refused.

None of them knows of HTTP: `routes/answers.py` says what each is to a client.
"""


class StorageError(Exception):
    """The database cannot be reached, is too busy, is full, or has not been migrated; the message says which."""


class DatabaseAwayError(StorageError):
    """The database cannot be reached, does not answer, or is another than was opened: nobody's operation succeeds."""


class RefusedError(Exception):
    """The database answers, and what was asked for cannot be. The subclasses say why."""


class ProfileMissingError(RefusedError):
    """The tenant has no profile of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no profile {name[:128]!r}")


class NameTakenError(RefusedError):
    """The tenant has a profile of this name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a profile {name!r} already")


class VersionMissingError(RefusedError):
    """A profile has no version of this number; it has none at all once it is deleted."""

    def __init__(self, number: int, latest: int | None) -> None:
        has = "the profile has been deleted" if latest is None else f"the versions are 1 to {latest}"
        super().__init__(f"there is no version {number}; {has}")


class VersionSupersededError(RefusedError):
    """A version learned from a ranking that has been forgotten or replaced since: it is not used again."""

    def __init__(self, number: int) -> None:
        super().__init__(f"version {number} learned from a ranking that has been forgotten or replaced since")


class RankingMissingError(RefusedError):
    """A profile keeps no ranking of this number: it never did, or the ranking has been forgotten or replaced."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"there is no ranking {number}: it never was, it has been forgotten, a later order of its comparison has "
            "replaced it, or the profile has been reset"
        )


class QuotaReachedError(RefusedError):
    """The tenant keeps as many profiles, or rankings, as it may."""

    def __init__(self, kept: int, what: str) -> None:
        super().__init__(f"there are {kept:,} {what}, which is the limit")


class SessionMissingError(RefusedError):
    """There is no such session, it has expired, or it is another tenant's: nobody learns which."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no session {name[:64]!r}: it never was, it has been deleted, or it has expired")


class SessionFullError(RefusedError):
    """A session has as many candidates as it may."""

    def __init__(self, candidates: int, most: int) -> None:
        super().__init__(f"the session has {candidates:,} candidates, of {most:,} that it may have")
