"""The refinement loop: one target and a growing list of candidates, all ranked each time that some are added."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from clpips_client.core import Core
from clpips_client.errors import ComparisonNotFoundError
from clpips_client.pictures import Picture
from clpips_client.profile_replies import Suggestion, TaughtRanking
from clpips_client.profiles import suggest as suggest_pair
from clpips_client.profiles import teach
from clpips_client.replies import Ranking
from clpips_client.scoring import RESOLUTION, place_of, rank
from clpips_client.splitting import WHOLE_TRIES, pictures_at
from clpips_client.steps import Flow


@dataclass
class Loop:
    """What a session has so far. Images are prepared once, when they are added."""

    core: Core
    target: Picture
    profile: str
    resolution: int | None
    mask: Picture | None = None  # what counts of the target
    candidates: list[Picture] = field(default_factory=list)
    ranking: Ranking | None = None  # the newest, of all candidates
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def take(self, before: list[Picture], them: list[Picture], ranking: Ranking) -> bool:
        """Go on with these candidates, if nobody has added others since there were those `before`."""
        with self.lock:
            if self.candidates is not before:
                return False
            self.candidates, self.ranking = them, ranking
            return True


def begin(
    core: Core, target: Any, profile: str = "lpips", resolution: int | None = RESOLUTION, mask: Any = None
) -> Loop:
    """A loop without candidates. Raises `BadImagesError` for what cannot be used; nothing is sent."""
    (one,), *masks = pictures_at([("/target", [target]), *place_of(mask)], resolution)
    return Loop(core, one, profile, resolution, masks[0][0] if masks else None)


def add(loop: Loop, candidates: Any) -> Flow[Ranking]:
    """Add an image, a batch or a list of them, and rank all candidates so far; an index is the order of arrival.

    Images are as in `rank`. Where an error is raised, none of them is added: add them again. Several threads or tasks
    may add at once: who comes second ranks again, with what the first has added.
    """
    (new,) = pictures_at([("/candidates/{}", candidates)], loop.resolution)
    budget = loop.core.budget()
    while True:
        before = loop.candidates
        them = [*before, *new]
        ranking = yield from _rank(loop, loop.core.until(budget), them)
        if loop.take(before, them, ranking):
            return ranking


def order(
    loop: Loop,
    order: Sequence[int] | None = None,
    *,
    ranks: Sequence[int] | None = None,
    best: int | None = None,
    top: Sequence[int] | None = None,
    rater: str = "",
) -> Flow[TaughtRanking]:
    """Teach the session's profile what a person says of the candidates so far, as `profiles.teach` takes it.

    Where the service has given the comparison up, the images are ranked again: they are all here.
    """
    ranking = _of(loop)
    said: dict[str, Any] = {"order": order, "ranks": ranks, "best": best, "top": top, "rater": rater}
    budget = loop.core.budget()
    for tries in range(WHOLE_TRIES):
        try:
            return (yield from teach(loop.core.until(budget), loop.profile, ranking, **said))
        except ComparisonNotFoundError:
            if tries == WHOLE_TRIES - 1:
                raise
        loop.ranking = ranking = yield from _rank(loop, loop.core.until(budget), loop.candidates)
    raise AssertionError("the last try returns or raises")


def suggest(loop: Loop) -> Flow[Suggestion]:
    """Which two of the candidates so far to ask a person about next; `profiles.teach` takes the answer with it."""
    return (yield from suggest_pair(loop.core, loop.profile, _of(loop)))


def _rank(loop: Loop, core: Core, candidates: Sequence[Picture]) -> Flow[Ranking]:
    options: dict[str, Any] = {"profile": loop.profile, "resolution": loop.resolution, "mask": loop.mask}
    return (yield from rank(core, loop.target, candidates, **options))


def _of(loop: Loop) -> Ranking:
    if loop.ranking is None:
        raise ValueError("the session has no candidates yet: add some")
    return loop.ranking
