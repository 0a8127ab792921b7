"""Channel distances of a data set: each image once, each pair once, kept on disk, everything that is wrong named."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.metric.families import ALEXNET, Families
from clpips.models.metric.packing import pack_z, unpack_z
from clpips.models.rankings.distance_cache import DistanceCache
from clpips.models.rankings.files import Ranking, RankingsError
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.measuring import measure_rankings
from clpips.models.rankings.splitting import Split
from tests.support.pictures import encode, picture

SIDE = 64


class Counting:
    """An engine that counts what it is asked for."""

    def __init__(self) -> None:
        self._engine = open_engine("onnx", threads=1)
        self.fingerprint, self.net = self._engine.fingerprint, self._engine.net
        self.images = self.pairs = self.opened = 0

    def open(self) -> Engine:
        self.opened += 1
        return cast("Engine", self)  # as much of one as measuring needs

    def embed(self, images: NDArray[np.uint8], *, network: str = ALEXNET) -> Sequence[Any]:
        self.images += len(images) if network == ALEXNET else 0
        return self._engine.embed(images, network=network)

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        self.pairs += len(targets) if families is None or "aligned" in families else 0
        return self._engine.compare(targets, candidates, families)

    def close(self) -> None:
        pass


@pytest.fixture
def engine() -> Counting:
    return Counting()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in range(5):
        (tmp_path / f"{name}.png").write_bytes(encode(picture(name, SIDE)))
    (tmp_path / "copy-of-1.png").write_bytes((tmp_path / "1.png").read_bytes())
    return tmp_path


def ranking(folder: Path, target: object, *candidates: object) -> Ranking:
    names = tuple(str(folder / f"{name}.png") for name in candidates)
    return Ranking(str(folder / f"{target}.png"), names, ranks=tuple(range(1, len(names) + 1)), line=1)


def run(
    rankings: Sequence[Ranking], engine: Counting, cache: Path | None = None, resolution: int | None = SIDE
) -> MeasuredRankings:
    return measure_rankings(rankings, engine.open, resolution, engine.fingerprint, cache)


def test_rows_are_the_engines_channel_distances(folder: Path, engine: Counting) -> None:
    measured = run([ranking(folder, 0, 1, 2)], engine)
    features = embed_images(engine.open(), np.stack([picture(name, SIDE) for name in (0, 1, 2)]))
    expected = compare_images(engine.open(), [features[0]] * 2, features[1:])
    assert np.allclose(measured.rows[measured.rows_of[0]], expected, atol=1e-7)


def test_each_image_is_embedded_once_and_each_pair_compared_once_whichever_way_round(
    folder: Path, engine: Counting
) -> None:
    rankings = [ranking(folder, 0, 1, 2), ranking(folder, 1, 0, 2), ranking(folder, 0, 2, 1)]
    measured = run(rankings, engine)
    assert (engine.images, engine.pairs) == (3, 3)
    assert measured.rows_of[0].tolist() == measured.rows_of[2][::-1].tolist()


def test_a_copy_under_another_name_is_the_same_image(folder: Path, engine: Counting) -> None:
    measured = run([ranking(folder, 1, 2, 3), ranking(folder, "copy-of-1", 2, 3)], engine)
    assert engine.images == 3
    assert measured.targets.tolist() == [0, 0]


def test_copies_under_other_names_stand_on_one_side_of_a_split(folder: Path, engine: Counting) -> None:
    for name in range(7):
        for copy in (f"{name}.png", f"again-{name}.png"):
            (folder / copy).write_bytes(encode(picture(name, SIDE)))
    named = [[f"again-{name}" if (target + name) % 2 else name for name in range(7)] for target in range(7)]
    rankings = [
        ranking(folder, names[target], *names[:target], *names[target + 1 :]) for target, names in enumerate(named)
    ]
    split = run(rankings, engine).split(share=0.5)
    assert (split.by, split.shared_images) == ("image", 0)
    sides = [
        {Path(image).read_bytes() for each in side for image in each.names} for side in (split.fit, split.held_out)
    ]
    assert not sides[0] & sides[1]


def test_a_copy_of_a_target_stands_on_its_side(folder: Path, engine: Counting) -> None:
    measured = run([ranking(folder, 1, 2, 3), ranking(folder, "copy-of-1", 2, 3), ranking(folder, 0, 2, 3)], engine)
    targets = [{int(number) for number in measured.take(side).targets} for side in _sides(measured.split(0.5))]
    assert not targets[0] & targets[1]


def _sides(split: Split) -> tuple[list[Ranking], list[Ranking]]:
    return split.fit, split.held_out


def test_a_second_measurement_opens_no_engine(folder: Path, engine: Counting, tmp_path: Path) -> None:
    rankings = [ranking(folder, 0, 1, 2, 3)]
    first = run(rankings, engine, tmp_path / "cache")
    second = run(rankings, engine, tmp_path / "cache")
    assert engine.opened == 1
    assert np.array_equal(first.rows[first.rows_of[0]], second.rows[second.rows_of[0]])


def test_only_what_is_new_is_computed(folder: Path, engine: Counting, tmp_path: Path) -> None:
    run([ranking(folder, 0, 1, 2)], engine, tmp_path / "cache")
    run([ranking(folder, 0, 1, 2, 3)], engine, tmp_path / "cache")
    assert engine.pairs == 3


def test_another_resolution_is_another_distance(folder: Path, engine: Counting, tmp_path: Path) -> None:
    rankings = [ranking(folder, 0, 1, 2)]
    small = run(rankings, engine, tmp_path / "cache", 48)
    large = run(rankings, engine, tmp_path / "cache", 64)
    assert engine.opened == 2
    assert not np.allclose(small.rows, large.rows)


def test_a_damaged_cache_is_begun_anew(folder: Path, engine: Counting, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run([ranking(folder, 0, 1, 2)], engine, cache)
    (file,) = cache.glob("*.sqlite")
    file.write_bytes(b"no database" * 1000)
    run([ranking(folder, 0, 1, 2)], engine, cache)
    run([ranking(folder, 0, 1, 2)], engine, cache)
    assert engine.opened == 2


def test_a_cache_that_cannot_be_written_only_costs_time(folder: Path, engine: Counting, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    measured = run([ranking(folder, 0, 1, 2)], engine, tmp_path / "file" / "cache")
    assert len(measured.rows) == 2


def test_a_disk_that_fills_up_only_costs_time() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:  # no table: every write fails as on a full disk
        cache = DistanceCache(connection, "f", 64)
        cache.write({("a", "b"): np.zeros(6016, np.float32)})
        cache.write({("a", "b"): np.zeros(6016, np.float32)})
        assert cache.read([("a", "b")]) == {}


def test_features_that_do_not_fit_into_memory_are_computed_again(folder: Path, engine: Counting) -> None:
    rankings = [ranking(folder, 0, 1, 2, 3), ranking(folder, 1, 2, 3)]
    measured = measure_rankings(rankings, engine.open, SIDE, engine.fingerprint, None, batch=1, feature_bytes=1)
    fresh = run(rankings, Counting())
    assert engine.images > 4
    assert np.allclose(measured.rows, fresh.rows)


def test_all_missing_and_broken_images_are_named_at_once(folder: Path, engine: Counting) -> None:
    (folder / "2.png").write_bytes(b"no image at all")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:300])
    with pytest.raises(RankingsError) as refused:
        run([ranking(folder, 0, 1, 2, "missing"), ranking(folder, "gone", 3, 4)], engine)
    assert len(refused.value.problems) == 4
    for name in ("2.png", "3.png", "missing.png", "gone.png"):
        assert name in str(refused.value)
    assert engine.opened == 0


def test_broken_images_are_all_named_and_the_sound_ones_kept(folder: Path, engine: Counting, tmp_path: Path) -> None:
    sound = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(b"no image at all")
    (folder / "3.png").write_bytes(sound[:300])
    with pytest.raises(RankingsError) as refused:
        run([ranking(folder, 0, 1, 2, 3, 4)], engine, tmp_path / "cache")
    assert len(refused.value.problems) == 2
    run([ranking(folder, 0, 1, 4)], engine, tmp_path / "cache")
    assert engine.opened == 1


def test_at_native_size_a_candidate_must_be_as_large_as_its_target(folder: Path, engine: Counting) -> None:
    (folder / "wide.png").write_bytes(encode(picture(9, SIDE, SIDE + 8)))
    with pytest.raises(RankingsError, match=r"72×64 pixels, its target .* has 64×64"):
        run([ranking(folder, 0, 1, "wide")], engine, resolution=None)
    assert len(run([ranking(folder, 0, 1, "wide")], Counting()).rows) == 2


def test_stored_channel_distances_need_no_images(engine: Counting) -> None:
    z = pack_z(np.random.default_rng(0).random((3, 6016), np.float32))
    rankings = [Ranking(name, ranks=(2, 1, 3), z=z) for name in ("x", "y", "x")]
    measured = run(rankings, engine)
    assert engine.opened == 0
    assert measured.targets.tolist() == [0, 1, 0]
    assert np.array_equal(measured.rows[measured.rows_of[1]], unpack_z(z))
    pairs = measured.take(rankings[1:2]).pairs()
    assert (pairs.better.tolist(), pairs.worse.tolist()) == ([3, 4, 4], [5, 3, 5])


def test_a_part_of_a_ranking_keeps_its_own_channel_distances(engine: Counting) -> None:
    # the same images twice, once within a mask: distances that are called the same and are others
    z = pack_z(np.random.default_rng(0).random((6, 6016), np.float32))
    rankings = [Ranking("t", ("a", "b", "c"), ranks=(1, 2, 3), z=z[start : start + 3]) for start in (0, 3)]
    measured = run(rankings, engine)
    parts = [ranking.part([2, 0]) for ranking in rankings]
    taken = measured.take(parts)
    for place, start in enumerate((0, 3)):
        assert np.array_equal(measured.rows[taken.rows_of[place]], unpack_z(z[[start + 2, start]]))
    again = taken.take([parts[1].part([1])])
    assert np.array_equal(measured.rows[again.rows_of[0]], unpack_z(z[[3]]))
    with pytest.raises(KeyError, match="none of these"):
        measured.take([Ranking("t", ("a", "b"), ranks=(1, 2), z=z[:2])])


def test_stored_channel_distances_of_another_backbone_are_refused(engine: Counting) -> None:
    z = np.zeros((2, 6016), np.float16)
    with pytest.raises(RankingsError, match="another backbone or resolution"):
        run([Ranking("t", ranks=(1, 2), z=z, backbone="ff", resolution=SIDE, line=3)], engine)


def test_stored_channel_distances_of_several_resolutions_are_taken_where_one_is_asked_for(engine: Counting) -> None:
    # what a service exports whose users taught it at several; candidates of one ranking alone are compared
    z = np.zeros((2, 6016), np.float16)
    found = [
        Ranking("t", ranks=(1, 2), z=z, backbone=engine.fingerprint, resolution=side, line=line)
        for line, side in enumerate((SIDE, None), start=1)
    ]
    assert len(run(found, engine).rows) == 4
    assert len(run(found, engine, resolution=None).rows) == 4
    with pytest.raises(RankingsError, match=r"(?s)line 1: .* at 64, this is .* at 31.*line 2: .* at native"):
        run(found, engine, resolution=31)


def test_progress_counts_pairs(folder: Path, engine: Counting) -> None:
    steps: list[tuple[int, int]] = []
    measure_rankings(
        [ranking(folder, 0, 1, 2, 3)], engine.open, SIDE, engine.fingerprint, None, lambda *step: steps.append(step)
    )
    assert steps == [(3, 3)]
