"""Ranking files: what is read, what is refused and how, and how they are split."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clpips.models.metric.families import Z_LENGTH
from clpips.models.rankings.files import (
    Ranking,
    RankingsError,
    format_ranking,
    read_rankings,
)
from clpips.models.rankings.pairs import expand_ranks
from clpips.models.rankings.splitting import split_rankings
from clpips.models.rankings.stored_z import decode_z, encode_z
from tests.support.rankings import write_rankings

GOOD = {"set": "s", "rater": "p", "target": "t.png", "candidates": ["a.png", "b.png", "c.png"], "ranks": [2, 1, 2]}


def written(folder: Path, *lines: object) -> Path:
    path = folder / "rankings.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def problems(folder: Path, *lines: object) -> list[str]:
    with pytest.raises(RankingsError) as refused:
        read_rankings(written(folder, *lines))
    return list(refused.value.problems)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (ranking,) = read_rankings(written(tmp_path, GOOD))
    assert ranking.target == str(tmp_path / "t.png")
    assert ranking.candidates[0] == str(tmp_path / "a.png")
    assert (ranking.ranks, ranking.votes, ranking.set, ranking.rater) == ((2, 1, 2), None, "s", "p")


def test_votes_blank_lines_a_byte_order_mark_and_other_fields_are_read(tmp_path: Path) -> None:
    line = {"target": "t", "candidates": ["a", "b"], "votes": [3, 1], "prompt": "a boat"}
    (ranking,) = read_rankings(written(tmp_path, "\ufeff", "", json.dumps(line), ""))
    assert (ranking.votes, ranking.order.tolist()) == ((3, 1), [-3, -1])


@pytest.mark.parametrize(("said", "ranks"), [({"best": 3}, (2, 2, 2, 1)), ({"top": [3, 0]}, (2, 3, 3, 1))])
def test_what_is_said_of_some_candidates_leaves_the_others_tied(
    tmp_path: Path, said: dict[str, object], ranks: tuple[int, ...]
) -> None:
    (ranking,) = read_rankings(written(tmp_path, {"target": "t", "candidates": list("abcd"), **said}))
    assert ranking.ranks == ranks
    ahead = {3: range(3)} if "best" in said else {3: range(3), 0: (1, 2)}
    better, worse = expand_ranks(ranking.order)
    assert set(zip(better.tolist(), worse.tolist(), strict=True)) == {(a, b) for a in ahead for b in ahead[a]}


def test_what_cannot_be_said_of_some_candidates_is_named_with_its_field(tmp_path: Path) -> None:
    line = {"target": "t", "candidates": ["a", "b", "c"]}
    found = problems(
        tmp_path,
        line | {"best": 3},
        line | {"best": -1},
        line | {"best": 1.5},
        line | {"top": []},
        line | {"top": [0, 0]},
        line | {"top": [1, 3]},
        line | {"candidates": ["a"], "best": 0},
        {"target": "t", "z": encode_z(np.zeros((2, Z_LENGTH), np.float16)), "best": 0},
        line | {"best": 0, "ranks": [1, 2, 2]},
        line | {"best": 0, "top": [0]},
        line,
    )
    fields = [problem.split(": ")[1] for problem in found]
    assert fields == [*["best"] * 3, *["top"] * 3, "best", "best", *["ranks, votes, best, top"] * 3]


def test_when_and_of_what_a_ranking_was_is_kept(tmp_path: Path) -> None:
    moments = {"at": "2026-11-27T02:11:51.5+01:00"}, {"at": "2026-11-27T01:11:51.5"}, {"at": "2026-11-27T01:11:51.500Z"}
    for moment in moments:
        (ranking,) = read_rankings(written(tmp_path, GOOD | {"comparison": "FjwN", **moment}))
        assert (ranking.comparison, ranking.at) == ("FjwN", datetime(2026, 11, 27, 1, 11, 51, 500_000, UTC))
        again = json.loads(format_ranking(ranking))
        assert (again["comparison"], again["at"]) == ("FjwN", "2026-11-27T01:11:51.500000Z")
    (problem,) = problems(tmp_path, GOOD | {"at": "yesterday"})
    assert problem.startswith("line 1: at: ")


def test_with_channel_distances_the_same_image_may_stand_twice(tmp_path: Path) -> None:
    z = encode_z(np.zeros((2, Z_LENGTH), np.float16))
    (ranking,) = read_rankings(written(tmp_path, {"target": "t", "candidates": ["a", "a"], "z": z, "ranks": [1, 2]}))
    assert ranking.candidates == ("a", "a")


def test_every_bad_line_is_named_with_its_field(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        GOOD,
        "{nonsense",
        GOOD | {"ranks": [1, 2]},
        GOOD | {"ranks": "first"},
        GOOD | {"votes": [1, 2]},
        GOOD | {"ranks": [0, 1, 2]},
        GOOD | {"candidates": ["a.png", "a.png", "b.png"]},
        {"candidates": ["a", "b"], "ranks": [1, 2]},
        {"target": "t", "candidates": ["a", "b", "c"], "votes": [1, 2, 3]},
        {"target": "t", "candidates": ["a", "b"], "votes": [0, 0]},
        {"target": "t", "candidates": ["a"], "ranks": [1]},
        {"target": "t", "ranks": [1, 2]},
        {"target": "", "candidates": ["a", "b"], "ranks": [1, 2]},
    )
    assert [problem.partition(":")[0] for problem in found] == [f"line {number}" for number in range(2, 14)]
    for number, field in ((3, "ranks"), (4, "ranks"), (6, "ranks"), (7, "candidates"), (9, "votes"), (10, "votes")):
        assert found[number - 2].startswith(f"line {number}: {field}: ")
    assert "expected 3 numbers, one a candidate, 2 came" in found[1]
    assert "`target`" in found[6]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_rankings_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(RankingsError, match="holds no ranking"):
        read_rankings(written(tmp_path, content))


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "rankings.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"target": "\xff\xfe"}\n')
    with pytest.raises(RankingsError, match="line 2"):
        read_rankings(path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    z = np.random.default_rng(0).random((2, 6016)).astype(np.float16)
    rankings = [
        Ranking(str(tmp_path / "t"), (str(tmp_path / "a"), str(tmp_path / "b")), ranks=(1.5, 1.5), set="1"),
        Ranking("/elsewhere/t", (str(tmp_path / "x" / "a"), "/b"), votes=(2, 0), rater="r"),
        Ranking("sha256:00", ("sha256:01", "sha256:02"), ranks=(2, 1), z=z, backbone="ab" * 32, resolution=256),
    ]
    again = read_rankings(write_rankings(tmp_path / "out.jsonl", rankings))
    assert [(r.target, r.candidates, r.ranks, r.votes, r.set, r.rater) for r in again] == [
        (r.target, r.candidates, r.ranks, r.votes, r.set, r.rater) for r in rankings
    ]
    assert again[2].z is not None
    assert np.array_equal(again[2].z, z)
    assert (again[2].backbone, again[2].resolution, again[2].images) == ("ab" * 32, 256, ())


def test_channel_distances_in_a_line_are_little_endian_float16(tmp_path: Path) -> None:
    z = np.zeros((2, 6016), np.float16)
    z[1, 0] = 1
    assert decode_z(encode_z(z), 2)[1, 0] == 1
    assert encode_z(z)["aligned"] == base64.b64encode(z[:, :1152].astype("<f2").tobytes()).decode()
    line = json.loads(format_ranking(Ranking("t", ranks=(1, 2), z=z)))
    assert set(line) == {"target", "z", "ranks"}


def test_channel_distances_that_cannot_be_are_refused(tmp_path: Path) -> None:
    z = np.zeros((2, 6016), np.float16)
    infinite = z.copy()
    infinite[0, 0] = np.inf
    found = problems(
        tmp_path,
        {"target": "t", "z": "§", "ranks": [1, 2]},
        {"target": "t", "z": encode_z(z), "ranks": [1, 2, 3]},
        {"target": "t", "z": encode_z(infinite), "ranks": [1, 2]},
        {"target": "t", "z": encode_z(z - 1), "ranks": [1, 2]},
        {"target": "t", "z": encode_z(z), "candidates": ["a", "b", "c"], "ranks": [1, 2]},
        {"target": "t", "z": {"aligned": encode_z(z)["aligned"]}, "ranks": [1, 2]},
        {"target": "t", "z": encode_z(z) | {"std": "§"}, "ranks": [1, 2]},
    )
    assert len(found) == 7
    assert "aligned of 3 candidates needs 6,912 bytes (float16, 1152 each), 4,608 came" in found[1]
    assert "expected the families aligned, mean, std or content_mean, content_std, or both, found aligned" in found[5]
    assert "std is not base64" in found[6]


def test_channel_distances_of_two_backbones_are_not_mixed(tmp_path: Path) -> None:
    line = {
        "target": "t",
        "z": encode_z(np.zeros((2, 6016), np.float16)),
        "ranks": [1, 2],
        "backbone": "aa",
        "resolution": 256,
    }
    (problem,) = problems(tmp_path, line, line | {"backbone": "bb"})
    assert problem.startswith("line 2: backbone")


@pytest.mark.parametrize("votes", [[1e308, 1e308], [2_000_000_000, 1]])
def test_votes_that_no_people_can_have_given_are_refused(tmp_path: Path, votes: list[float]) -> None:
    (problem,) = problems(tmp_path, {"target": "t", "candidates": ["a", "b"], "votes": votes})
    assert problem.startswith("line 1: votes: expected no more than 1e+09")


def two(target: int, first: int, second: int) -> Ranking:
    return Ranking(f"{target}.png", (f"{first}.png", f"{second}.png"), ranks=(1, 2))


@given(st.integers(0, 1000), st.integers(2, 30), st.floats(0.1, 0.9))
def test_no_target_stands_on_both_sides(seed: int, targets: int, share: float) -> None:
    rankings = [two(target, 100 + target % 5, 200) for target in range(targets) for _ in range(3)]
    split = split_rankings(rankings, share, seed, by="target")
    assert {r.target for r in split.fit}.isdisjoint(r.target for r in split.held_out)
    assert split.fit
    assert split.held_out
    assert len(split.fit) + len(split.held_out) == len(rankings)


def test_a_split_repeats_with_its_seed() -> None:
    rankings = [two(target, 100, 200) for target in range(20)]
    chosen = [[r.target for r in split_rankings(rankings, seed=seed).fit] for seed in (1, 1, 2)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 14


def test_a_split_by_target_warns_of_images_that_leak() -> None:
    split = split_rankings([two(target, (target + 1) % 10, (target + 2) % 10) for target in range(10)], by="target")
    assert split.warning is not None
    assert f"{split.shared_images} images stand on both sides" in split.warning


def test_a_split_by_image_keeps_every_image_on_one_side() -> None:
    rng = np.random.default_rng(0)
    rankings = [two(*rng.choice(12, 3, replace=False).tolist()) for _ in range(300)]
    split = split_rankings(rankings, by="image", share=0.6)
    sides = [{image for ranking in side for image in ranking.images} for side in (split.fit, split.held_out)]
    assert not sides[0] & sides[1]
    assert (split.warning, split.shared_images) == (None, 0)
    assert split.dropped == 300 - len(split.fit) - len(split.held_out) > 0


def test_a_long_ranking_counts_with_those_of_its_candidates_that_are_on_its_side() -> None:
    rng = np.random.default_rng(0)
    rankings = []
    for target in range(12):
        shown = rng.permutation(np.setdiff1d(np.arange(12), [target]))[:8]
        rankings.append(Ranking(f"{target}", tuple(map(str, shown)), ranks=tuple(shown.tolist())))
    split = split_rankings(rankings, share=0.6)
    assert (split.by, split.words) == ("image", "images not seen")
    sides = [{image for ranking in side for image in ranking.names} for side in (split.fit, split.held_out)]
    assert not sides[0] & sides[1]
    assert len(split.fit) + len(split.held_out) + split.dropped == 12
    for part in [*split.fit, *split.held_out]:
        assert 2 <= len(part.candidates) < 8
        assert part.ranks == tuple(map(int, part.candidates))


@given(st.integers(0, 1000))
def test_where_few_images_recur_whole_targets_are_held_out_with_their_images(seed: int) -> None:
    rankings = [two(target, 100 + target, 200 + target) for target in range(12)]
    rankings += [two(50, 100, 201), two(51, 202, 300)]
    split = split_rankings(rankings, seed=seed)
    assert (split.by, split.warning) == ("image", None)
    assert min(len(split.fit), len(split.held_out)) >= 1
    sides = [{image for ranking in side for image in ranking.names} for side in (split.fit, split.held_out)]
    assert not sides[0] & sides[1]


def test_where_images_recur_so_much_that_no_split_keeps_them_apart_targets_are() -> None:
    split = split_rankings([two(target, 100, 200) for target in range(20)])
    assert split.by == "target"
    assert split.warning is not None


def test_images_without_names_are_split_by_target() -> None:
    z = np.zeros((2, 6016), np.float16)
    assert split_rankings([Ranking(f"{n}", ranks=(1, 2), z=z) for n in range(4)]).words == "targets not seen"


def test_rankings_without_images_cannot_be_split_by_image() -> None:
    with pytest.raises(RankingsError, match="split them by target"):
        split_rankings([Ranking("t", ranks=(1, 2), z=np.zeros((2, 6016), np.float16))], by="image")


@pytest.mark.parametrize("share", [0.0, 1.0, 2.0])
def test_a_share_that_leaves_a_side_empty_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        split_rankings([], share)
