"""Explanations: the sentence follows the levels, the shares add up, and what is not known is not spoken of."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clpips.models.cli.commands import main
from clpips.models.metric.explaining import FamilyPart, explain, family_parts
from clpips.models.metric.families import ALEXNET, FAMILIES_OF, GROUPS, PLACES, Z_LENGTH
from clpips.models.metric.typical import LEVEL_SHARES, LEVELS, TYPICAL, share_closer, typical_sum
from clpips.models.metric.weights_files import load_weights
from tests.support.pictures import encode, picture, variation

BALANCED = load_weights("balanced").values
EVERY = frozenset(PLACES)


def typical_z(**levels: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A pair whose families have these levels; those that are not named are typical."""
    z = np.zeros(Z_LENGTH, np.float32)
    for group in GROUPS:
        z[group.place] = TYPICAL[group.family][group.layer] * levels.get(group.family, 1.0)
    return z


def test_a_typical_pair_has_levels_of_one_and_equal_shares_by_balanced() -> None:
    parts = family_parts(typical_z(), BALANCED, EVERY)
    assert [part.level for part in parts.values()] == pytest.approx([1] * 5)
    assert [part.share for part in parts.values()] == pytest.approx([0.2] * 5, abs=1e-3)
    assert sum(part.distance for part in parts.values()) == pytest.approx(float(typical_z() @ BALANCED), rel=1e-5)


def test_the_sentence_follows_what_the_families_see() -> None:
    z = typical_z(content_mean=1.7, content_std=1.7, mean=0.3, std=1.0, aligned=1.4)
    assert explain(family_parts(z, BALANCED, EVERY)) == (
        "Different things and layout, similar colours, somewhat different texture: "
        "what the pictures are of makes 56 % of the distance."
    )
    z = typical_z(content_mean=0.2, content_std=0.2, mean=2.0, std=0.05, aligned=0.2)
    assert explain(family_parts(z, BALANCED, EVERY)) == (
        "Similar things and layout, different colours, the same texture: "
        "what colours and materials there are makes 75 % of the distance."
    )


def test_weights_say_what_makes_the_distance_and_not_what_is_alike() -> None:
    z = typical_z(mean=0.3, aligned=1.4)
    by = {name: explain(family_parts(z, load_weights(name).values, EVERY)) for name in ("balanced", "lpips")}
    assert by["balanced"].partition(":")[0] == by["lpips"].partition(":")[0]
    assert by["lpips"].endswith("what stands where makes the whole distance.")


def test_weights_of_zero_make_no_distance_of_what_differs() -> None:
    sentence = explain(family_parts(typical_z(), 0 * BALANCED, EVERY))
    assert sentence.endswith("by these weights that is no distance.")


def test_the_same_picture_is_said_to_be_the_same() -> None:
    parts = family_parts(np.zeros(Z_LENGTH, np.float32), BALANCED, EVERY)
    assert explain(parts) == "The two pictures are the same."
    assert {part.share for part in parts.values()} == {0}


def test_what_is_not_known_is_not_spoken_of() -> None:
    parts = family_parts(typical_z(), load_weights("lpips").values, FAMILIES_OF[ALEXNET])
    assert parts.keys() == FAMILIES_OF[ALEXNET]
    assert "things" not in explain(parts)


@pytest.mark.parametrize("family", list(PLACES))
def test_more_pairs_are_closer_the_higher_the_level(family: str) -> None:
    shares = [share_closer(family, level) for level in np.linspace(0, 5, 50)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert [share_closer(family, level) for level in LEVELS[family]] == pytest.approx(LEVEL_SHARES)
    assert typical_sum(family) > 0


def test_a_whole_distance_is_not_rounded_to_it() -> None:
    parts = {"mean": FamilyPart(0.99, 0.99, 1.4, 0.8), "aligned": FamilyPart(0.01, 0.01, 1.4, 0.8)}
    assert explain(parts) == (
        "Different colours and layout: what colours and materials there are makes 99 % of the distance."
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    target = picture(1, 128)
    (tmp_path / "target.png").write_bytes(encode(target))
    (tmp_path / "near.png").write_bytes(encode(variation(target, 2, 0.2)))
    (tmp_path / "far.png").write_bytes(encode(picture(3, 128)))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(["explain", *arguments])
    printed = capsys.readouterr()
    assert stopped.value.code == 0, printed.err
    return printed.out


@pytest.mark.usefixtures("folder")
def test_the_command_prints_one_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(run(capsys, "target.png", "far.png", "--json"))
    assert set(answer) == {"sentence", "distance", "families", "layers", "weights", "resolution"}
    assert answer["weights"] == "balanced"
    assert set(answer["families"]) == set(PLACES)
    assert sum(part["distance"] for part in answer["families"].values()) == pytest.approx(answer["distance"], abs=1e-6)
    assert sum(part["share"] for part in answer["families"].values()) == pytest.approx(1)
    content = sum(part["distance"] for name, part in answer["families"].items() if name.startswith("content"))
    assert sum(answer["layers"]) + content == pytest.approx(answer["distance"], abs=1e-6)
    nearer = json.loads(run(capsys, "target.png", "near.png", "--json"))
    assert all(part["level"] < answer["families"][name]["level"] for name, part in nearer["families"].items())
    assert nearer["sentence"] != answer["sentence"]


@pytest.mark.usefixtures("folder")
def test_the_command_prints_a_sentence_and_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(run(capsys, "target.png", "far.png", "--json"))
    printed = run(capsys, "target.png", "far.png")
    assert printed.startswith(answer["sentence"])
    assert f"{answer['distance']:.4f}  target.png ↔ far.png" in printed
    for name, part in answer["families"].items():
        assert name in printed
        assert f"{part['level']:.2f}" in printed


@pytest.mark.usefixtures("folder")
def test_by_lpips_it_speaks_of_what_alexnet_sees(capsys: pytest.CaptureFixture[str]) -> None:
    answer = json.loads(run(capsys, "target.png", "far.png", "--weights", "lpips", "--json"))
    assert set(answer["families"]) == FAMILIES_OF[ALEXNET]
    assert answer["families"]["aligned"]["share"] == pytest.approx(1)
