"""A Python program that ranks, teaches and handles a 409, with what openapi-python-client made of the document."""

import base64
import io
import json
import sys
from http import HTTPStatus

from generated import Client, models
from generated.api.profiles import create_profile, get_profile, teach_profile
from generated.api.scoring import rank
from generated.types import File


def main(url: str, named: str, target: str, *candidates: str) -> None:
    """`named` is the target's hash; the images come as base64."""
    client = Client(url)
    new = models.NewProfile(name="python")
    create_profile.sync(client=client, body=new)
    again = create_profile.sync_detailed(client=client, body=new)

    # An image may be named by its hash; the 409 says which must be sent, and then they are.
    body = models.RankBody(target=named, candidates=list(candidates), profile="python")
    unsent = rank.sync_detailed(client=client, body=body)
    assert unsent.status_code == HTTPStatus.CONFLICT
    missing = [fault.pointer for fault in unsent.parsed.errors]
    if "/target" in missing:
        body.target = target
    ranked = rank.sync(client=client, body=body, x_request_timeout_ms=20_000, x_target_hash=named[7:])
    assert isinstance(ranked, models.RankReply), ranked

    # The same as a form; the target's features are held now, so its hash is enough, as a text part.
    files = [File(io.BytesIO(base64.b64decode(one)), f"{index}.npy") for index, one in enumerate(candidates)]
    parts = models.RankForm(target=File(io.BytesIO(named.encode())), candidates=files, profile="python")
    form = rank.sync(client=client, body=parts)
    assert isinstance(form, models.RankReply), form

    order = [row.index for row in ranked.ranking][::-1]
    taught = teach_profile.sync(
        "python", client=client, body=models.RankingBody(comparison=ranked.comparison, order=order)
    )
    assert isinstance(taught, models.TaughtRanking), taught
    detail = get_profile.sync("python", client=client, limit=1)
    assert isinstance(detail, models.ProfileDetail), detail
    print(
        json.dumps(
            {
                "again": [again.status_code, again.parsed.type_],
                "unsent": [unsent.status_code, unsent.parsed.type_, missing],
                "json": [row.index for row in ranked.ranking],
                "form": [row.index for row in form.ranking],
                "taught": [taught.ranking, taught.rankings, detail.rankings],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
