"""Wire contract of profiles: what makes one, what is told of it, and what a fit changed."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from clpips.service.wire.bounds import MAX_INTEGER, whole
from clpips.service.wire.schemas import FamilyShares, LayerShares

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}"  # as `service/storage/reading.py's NAME`
NewName = Annotated[
    str,
    Meta(
        description="Letters, digits and `. _ @ -`, at most 128.",
        examples=["ada"],
        **whole(NAME_PATTERN),
    ),
]
Share = Annotated[float, Meta(ge=0, le=1)]


class NewProfile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A profile to be made."""

    name: NewName
    parent: Annotated[str, Meta(description="Whose weights it begins with: shipped ones, or a profile of yours.")] = (
        "balanced"
    )


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which version to use again."""

    version: Annotated[int, Meta(ge=1, le=MAX_INTEGER, description="A version's number.")]


class Interval(msgspec.Struct, frozen=True):
    """An estimate, with its 95 % confidence interval where there is one."""

    value: float | None
    low: float | None = None
    high: float | None = None


class AgreementInfo(msgspec.Struct, frozen=True):
    """How well distances agree with the person's rankings."""

    pair_agreement: Annotated[Share, Meta(description="Share of the ordered pairs that the distances order alike.")]
    spearman: Annotated[float | None, Meta(description="Mean of Spearman's ρ within each ranking.")] = None
    icc2_k: Annotated[
        Interval | None,
        Meta(
            description="ICC(2,k) of ranks, person and metric as the raters. An order against the person's takes it "
            "below 0 without end, and the opposite order to null. It has no interval: images of one target are not "
            "independent; `clpips evaluate` on the downloaded rankings draws whole targets."
        ),
    ] = None


class FitInfo(msgspec.Struct, frozen=True):
    """What a fit was made of, and what it reached."""

    recipe: str
    rankings: Annotated[int, Meta(description="Rankings it learned from.")]
    targets: Annotated[int, Meta(description="Different targets among them.")]
    pairs: Annotated[int, Meta(description="Ordered pairs of candidates in them.")]
    held_out: Annotated[
        Literal["images", "targets", "candidates"],
        Meta(
            description="What the figures had not seen: `images`, where some stand in several rankings, whole "
            "`targets`, or with a single target some of its `candidates`."
        ),
    ]
    agreement: Annotated[AgreementInfo, Meta(description="Of these weights, cross-validated.")]
    parent: Annotated[AgreementInfo, Meta(description="Of the weights that the fit started from, on the same pairs.")]
    lpips: Annotated[AgreementInfo, Meta(description="Of plain LPIPS, on the same pairs.")]
    reason: Annotated[str, Meta(description="Why it was taken into use, or only proposed.")]
    in_sample: Annotated[
        bool, Meta(description="Whether the weights that the fit started from had been fitted to some of its images.")
    ] = False


class VersionInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of a profile."""

    number: int
    origin: Literal["shipped", "created", "fitted", "imported", "reset"]
    status: Annotated[
        Literal["in use", "taken", "proposed", "superseded"],
        Meta(
            description="`taken`: it was in use until another was; `proposed`: the guard kept it out of use; "
            "`superseded`: it learned from a ranking that has been forgotten or replaced since, and is not used again."
        ),
    ]
    created: Annotated[datetime, Meta(tz=True, description="In UTC.")]
    replaced: Annotated[int | None, Meta(description="The version that was in use when it was made.")] = None
    fit: FitInfo | None = None


class ProfileSummary(msgspec.Struct, frozen=True):
    """A profile in a list."""

    name: str
    parent: str
    version: Annotated[int, Meta(description="The version in use.")]
    rankings: Annotated[
        int,
        Meta(
            description="Rankings that count: not replaced by a later order of their comparison, not forgotten, not "
            "before a reset."
        ),
    ]
    created: Annotated[datetime, Meta(tz=True, description="In UTC.")]


class ProfileList(msgspec.Struct, frozen=True):
    """Profiles by name."""

    profiles: list[ProfileSummary]
    shipped: Annotated[list[str], Meta(description="Weights that ship with the service; they cannot be taught.")]
    next: Annotated[str | None, Meta(description="There are more: ask again with `after` set to this.")]


Waiting = Annotated[
    str | None,
    Meta(
        description="Why its rankings are not what it answers with, and what it waits for, for a person to read; null "
        "once a version that learned from them has been taken."
    ),
]


class ProfileDetail(ProfileSummary, frozen=True):
    """A profile with its versions."""

    layer_shares: Annotated[
        LayerShares,
        Meta(
            description="Each of AlexNet's layers' share of the distance of two natural images, by the version in use. "
            "With the shares of the content network's families they add up to 1."
        ),
    ]
    family_shares: Annotated[FamilyShares, Meta(description="Each family's share of the same.")]
    lpips_layer_shares: Annotated[LayerShares, Meta(description="The same of plain LPIPS.")]
    waiting: Waiting
    unlearned: Annotated[int, Meta(description="Rankings that are kept but not fitted yet: `POST …/fit` does.")]
    versions: Annotated[list[VersionInfo], Meta(description="The newest first.")]
    next: Annotated[int | None, Meta(description="There are older ones: ask again with `before` set to this.")]


class Taught(msgspec.Struct, frozen=True):
    """What a fit changed."""

    profile: str
    version: Annotated[int, Meta(description="The version in use now.")]
    taken: Annotated[bool, Meta(description="Whether a new version was taken into use.")]
    reason: Annotated[str, Meta(description="Why it was, or was not.")]
    waiting: Waiting
    proposed: Annotated[int | None, Meta(description="A version that was made but not taken: `rollback` takes it.")]
    before: Annotated[Share | None, Meta(description="Pair agreement of the weights that the fit started from.")]
    after: Annotated[Share | None, Meta(description="Pair agreement of the new version, cross-validated.")]
    lpips: Annotated[Share | None, Meta(description="Pair agreement of plain LPIPS.")]
    rankings: Annotated[int, Meta(description="Rankings of the profile that count.")]
    pairs: Annotated[int | None, Meta(description="Ordered pairs in them, where they made a version.")]


class Deleted(msgspec.Struct, frozen=True):
    """What was removed."""

    deleted: str
    versions: int
    rankings: int
