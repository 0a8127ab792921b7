"""Operations on profiles: made, taught, asked, looked at, carried away and brought, taken back."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from clpips_client.connecting import segment
from clpips_client.core import Budget, Core
from clpips_client.errors import ProfileExistsError
from clpips_client.packing import Tree, json_of
from clpips_client.profile_replies import (
    Deleted,
    Forgotten,
    ProfileDetail,
    ProfileList,
    ProfileSummary,
    RankingInfo,
    Suggestion,
    Taught,
    TaughtRanking,
)
from clpips_client.reading import read
from clpips_client.replies import Ranking
from clpips_client.scoring import RESOLUTION, rank
from clpips_client.steps import Answer, Flow
from clpips_client.trying import call

JSON: Final = {"Accept": "application/json"}
JSON_BODY: Final = {**JSON, "Content-Type": "application/json"}


def create(core: Core, name: str, *, parent: str = "balanced", exist_ok: bool = False) -> Flow[ProfileSummary]:
    """Make a profile that begins with its parent's weights. With `exist_ok` one that is there already is answered.

    Raises `ProfileExistsError`, or `ConnectionLostError` where it cannot be known whether it was made.
    """
    budget = core.budget()
    try:
        answer = yield from _post(core, budget, "/profiles", {"name": name, "parent": parent}, repeatable=exist_ok)
    except ProfileExistsError:
        if not exist_ok:
            raise
        answer = yield from call(core, budget, "GET", _path(name), headers=JSON, repeatable=True)
    return read(ProfileSummary, answer)


def teach(
    core: Core,
    name: str,
    ranking: Ranking | Suggestion | str | None = None,
    *,
    order: Sequence[int] | None = None,
    ranks: Sequence[int] | None = None,
    best: int | None = None,
    top: Sequence[int] | None = None,
    rater: str = "",
    target: Any = None,
    candidates: Any = None,
    resolution: int | None = RESOLUTION,
) -> Flow[TaughtRanking]:
    """Teach what a person says of a ranking (or of the id of its comparison), of a suggestion's two, or of images.

    They say one of: `order`, the candidates' places, the most similar first; `ranks`, one for each candidate, with
    ties; `best`, the place of the one that comes before all others; `top`, those that do, in this order. Images are
    ranked by the profile first, and that ranking is taught: so it is kept once, however often it had to be sent.

    Raises `ComparisonNotFoundError` where the comparison has expired: give the images then. With an `OutOfTimeError`
    the ranking may be kept all the same: to teach it again is safe, for it counts once.
    """
    budget = core.budget()
    said: dict[str, Any] = {"order": order, "ranks": ranks, "best": best, "top": top}
    given = {
        key: [*value] if isinstance(value, Iterable) else value for key, value in said.items() if value is not None
    }
    if len(given) != 1:
        raise ValueError("say what the person said as one of order, ranks, best and top")
    if isinstance(ranking, Suggestion):
        if not ranking.candidates:
            raise ValueError(f"the suggestion has no two candidates: {ranking.reason}")
        target, candidates, ranking = ranking.target, list(ranking.candidates), None
    if (ranking is None) == (target is None) or (target is None) != (candidates is None):
        raise ValueError("give a ranking, or a target and candidates")
    if ranking is None:
        within = core.until(budget)
        ranking = yield from rank(within, target, candidates, profile=name, resolution=resolution)
    body = {"comparison": _comparison(ranking), "rater": rater, **given}
    # The same said again of the same comparison by the same rater is the same ranking: the service answers it as kept.
    headers = {**JSON_BODY, **_where(ranking)}
    path = _path(name, "rankings")
    answer = yield from call(core, budget, "POST", path, json_of(body), headers, repeatable=True)
    return read(TaughtRanking, answer)


def suggest(core: Core, name: str, ranking: Ranking | str) -> Flow[Suggestion]:
    """The two candidates of a ranking to ask a person about next; `teach` takes the answer with the suggestion."""
    query = urlencode({"comparison": _comparison(ranking)})
    answer = yield from call(
        core,
        core.budget(),
        "GET",
        f"{_path(name, 'suggest')}?{query}",
        headers={**JSON, **_where(ranking)},
        repeatable=True,
    )
    return read(Suggestion, answer)


def get(core: Core, name: str, *, before: int | None = None, limit: int = 20) -> Flow[ProfileDetail]:
    """A profile with its newest versions; `before` asks for those below a version."""
    query = urlencode({"limit": limit, **({} if before is None else {"before": before})})
    return read(ProfileDetail, (yield from _get(core, f"{_path(name)}?{query}", JSON)))


def list_profiles(core: Core, *, after: str = "", limit: int = 100) -> Flow[ProfileList]:
    """Profiles by name, `limit` at a time; `after` asks for those that come after a name."""
    query = urlencode({"after": after, "limit": limit})
    return read(ProfileList, (yield from _get(core, f"/profiles?{query}", JSON)))


def fit(core: Core, name: str) -> Flow[Taught]:
    """Fit to all rankings now, as each that is taught does by itself."""
    return read(Taught, (yield from _post(core, core.budget(), _path(name, "fit"), None, repeatable=False)))


def rollback(core: Core, name: str, version: int) -> Flow[ProfileSummary]:
    """Use a version again, or one that was only proposed."""
    flow = _post(core, core.budget(), _path(name, "rollback"), {"version": version}, repeatable=True)
    return read(ProfileSummary, (yield from flow))


def reset(core: Core, name: str) -> Flow[ProfileSummary]:
    """Begin again: the rankings so far no longer count."""
    return read(ProfileSummary, (yield from _post(core, core.budget(), _path(name, "reset"), None, repeatable=False)))


def delete(core: Core, name: str) -> Flow[Deleted]:
    """Remove everything about a profile. There is no way back."""
    answer = yield from call(core, core.budget(), "DELETE", _path(name), headers=JSON, repeatable=False)
    return read(Deleted, answer)


def export_weights(core: Core, name: str, *, version: int | None = None) -> Flow[bytes]:
    """The safetensors file of the version in use, or of another."""
    query = "" if version is None else f"?version={version}"
    return (yield from _get(core, _path(name, "weights") + query, {})).content


def import_weights(core: Core, name: str, content: bytes) -> Flow[ProfileSummary]:
    """Take a weights file into use; an unknown name makes a profile."""
    headers = {**JSON, "Content-Type": "application/octet-stream"}
    answer = yield from call(core, core.budget(), "PUT", _path(name, "weights"), content, headers, repeatable=False)
    return read(ProfileSummary, answer)


def export_rankings(core: Core, name: str) -> Flow[list[dict[str, Any]]]:
    """What the profile was taught, a ranking each, with the images' hashes and channel distances."""
    answer = yield from _get(core, _path(name, "rankings"), {})
    return [json.loads(line) for line in answer.content.splitlines()]


def get_ranking(core: Core, name: str, number: int) -> Flow[RankingInfo]:
    """What is known of one ranking."""
    return read(RankingInfo, (yield from _get(core, _path(name, "rankings", str(number)), JSON)))


def forget_ranking(core: Core, name: str, number: int) -> Flow[Forgotten]:
    """Remove one ranking and fit the others; nothing that learned from it is used again."""
    path = _path(name, "rankings", str(number))
    answer = yield from call(core, core.budget(), "DELETE", path, headers=JSON, repeatable=False)
    return read(Forgotten, answer)


def _comparison(ranking: Ranking | str) -> str:
    found = ranking if isinstance(ranking, str) else ranking.comparison
    if found is None:
        raise ValueError(
            "this ranking was made in parts, because it has more candidates than the service takes at once: it has no "
            "comparison to speak of; rank fewer candidates to teach their order"
        )
    return found


def _where(ranking: Ranking | str) -> dict[str, str]:
    """The target's hash, by which a proxy finds the replica that has made the comparison: it may be the only one."""
    return {} if isinstance(ranking, str) else {"X-Target-Hash": ranking.target.removeprefix("sha256:")}


def _path(name: str, *more: str) -> str:
    return "/".join(["/profiles", segment(name), *more])


def _get(core: Core, path: str, headers: Mapping[str, str]) -> Flow[Answer]:
    return call(core, core.budget(), "GET", path, headers=headers, repeatable=True)


def _post(
    core: Core, budget: Budget, path: str, body: "Mapping[str, Tree] | None", *, repeatable: bool
) -> Flow[Answer]:
    if body is None:
        return call(core, budget, "POST", path, headers=JSON, repeatable=repeatable)
    return call(core, budget, "POST", path, json_of(body), JSON_BODY, repeatable=repeatable)
