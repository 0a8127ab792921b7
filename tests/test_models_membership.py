"""What weights were fitted to: hashes in their file, and how much of a data set they have seen."""

import numpy as np
import pytest

from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.trained_on import SIZE, TrainedOn, short_hash
from clpips.models.metric.weights import LayerWeights, WeightsError
from clpips.models.metric.weights_files import format_weights, parse_weights
from clpips.models.rankings.files import Ranking
from clpips.models.rankings.measured import MeasuredRankings
from clpips.models.rankings.membership import Seen, hash_data_set, share_seen


def data_set(*rankings: Ranking, names: tuple[str, ...]) -> MeasuredRankings:
    """Rankings of the images with these names, of which each has the first for a target and two others."""
    numbers = {name: number for number, name in enumerate(names)}
    return MeasuredRankings(
        rankings,
        np.zeros((2, Z_LENGTH), np.float32),
        [np.array([0, 1])] * len(rankings),
        np.array([numbers[ranking.target] for ranking in rankings]),
        [np.array([numbers[name] for name in ranking.candidates]) for ranking in rankings],
        names,
    )


A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")
FIRST = Ranking(A, (B, C), ranks=(1, 2), rater="ada")


def test_a_data_set_is_known_again_whatever_the_order_of_candidates() -> None:
    trained = hash_data_set(data_set(FIRST, names=(A, B, C)))
    again = data_set(Ranking(A, (C, B), ranks=(2, 1), rater="ada"), names=(A, B, C))
    assert share_seen(trained, again) == Seen(rankings=1, images=1)


@pytest.mark.parametrize("other", [Ranking(A, (B, C), ranks=(2, 1), rater="ada"), Ranking(A, (B, C), ranks=(1, 2))])
def test_another_order_or_another_person_is_another_ranking_of_the_same_images(other: Ranking) -> None:
    trained = hash_data_set(data_set(FIRST, names=(A, B, C)))
    assert share_seen(trained, data_set(other, names=(A, B, C))) == Seen(rankings=0, images=1)


def test_some_images_are_a_share() -> None:
    trained = hash_data_set(data_set(FIRST, names=(A, B, C)))
    seen = share_seen(trained, data_set(Ranking(D, (A, B), ranks=(1, 2)), names=(A, B, D)))
    assert seen.images == pytest.approx(2 / 3)
    assert seen.words == "0 % of these rankings and 67 % of these images"


def test_equal_names_without_bytes_are_not_taken_for_equal_images() -> None:
    measured = data_set(Ranking("t", ("a", "b"), ranks=(1, 2)), names=("t", "a", "b"))
    assert not hash_data_set(measured).images


def test_a_weights_file_remembers_in_eight_bytes_each() -> None:
    trained = TrainedOn(frozenset([short_hash("r")]), frozenset(short_hash(str(number)) for number in range(1000)))
    weights = LayerWeights(np.ones(Z_LENGTH, np.float32), "mine", trained_on=trained)
    content = format_weights(weights)
    assert parse_weights(content).trained_on == trained
    bare = format_weights(LayerWeights(np.ones(Z_LENGTH, np.float32), "mine", created=weights.created))
    assert len(content) - len(bare) < 1.4 * SIZE * 1001


def test_hashes_that_are_none_are_refused() -> None:
    content = format_weights(
        LayerWeights(np.ones(Z_LENGTH, np.float32), "mine", trained_on=TrainedOn(frozenset([b"8 bytes!"])))
    )
    with pytest.raises(WeightsError):
        parse_weights(content.replace(b"OCBieXRlcyE=", b"OCBieXRlcyE!"))


def test_weights_inherit_what_their_parent_was_fitted_to() -> None:
    one, other = TrainedOn(images=frozenset([b"a" * SIZE])), TrainedOn(images=frozenset([b"b" * SIZE]))
    assert (one | other).images == one.images | other.images
    assert not TrainedOn()
