"""What a person taught, carried away and brought back: weights as a file, rankings as lines."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner
from litestar.testing import TestClient

from clpips.models.cli.commands import commands
from clpips.models.metric.backbone import LAYERS, SHIPPED_FINGERPRINT
from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.trained_on import TrainedOn, short_hash
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import format_weights, load_weights, parse_weights
from clpips.service.routes.exchange import MAX_WEIGHTS_BYTES
from tests.support.colours import bluest, colours, flat, order_of, rank, teach
from tests.support.services import assert_problem, rank_body


def test_weights_go_out_as_the_file_that_the_command_line_takes(ada: TestClient[Any], tmp_path: Path) -> None:
    for seed in range(4):
        teach(ada, seed)
    reply = rank(ada, 50)
    file = tmp_path / "ada.safetensors"
    file.write_bytes(ada.get("/profiles/ada/weights").content)
    weights = load_weights(file)
    z = np.zeros((1, Z_LENGTH), np.float32)
    target, *candidates = colours(50)
    first = candidates[reply["ranking"][0]["index"]]
    for layer, colour in zip(LAYERS, (0, 0, 1, 2, 2), strict=True):
        z[:, layer] = ((target[colour] - first[colour]) / 255) ** 2
    assert reply["ranking"][0]["distance"] == pytest.approx(float(z[0] @ weights.values), rel=1e-5)
    assert (weights.name, weights.parent, weights.backbone) == ("ada", "balanced", SHIPPED_FINGERPRINT)


def test_a_profile_fitted_offline_equals_the_one_fitted_online(ada: TestClient[Any], tmp_path: Path) -> None:
    for seed in range(5):
        teach(ada, seed)
    lines, out = tmp_path / "ada.jsonl", tmp_path / "offline.safetensors"
    lines.write_bytes(ada.get("/profiles/ada/rankings").content)
    arguments = ["fit", str(lines), "--recipe", "personal", "--parent", "balanced"]
    arguments += ["--out", str(out), "--json", "--cache", str(tmp_path)]
    result = CliRunner().invoke(commands, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    online = parse_weights(ada.get("/profiles/ada/weights").content)
    np.testing.assert_array_equal(load_weights(out).values, online.values)


def seen(client: TestClient[Any], profile: str, rankings: bytes, folder: Path) -> dict[str, float]:
    """The shares of some rankings that a profile's weights were fitted to, as `clpips evaluate` says."""
    (folder / "judged.jsonl").write_bytes(rankings)
    (folder / "own.safetensors").write_bytes(client.get(f"/profiles/{profile}/weights").content)
    arguments = ["evaluate", str(folder / "judged.jsonl"), "--weights", str(folder / "own.safetensors"), "--json"]
    result = CliRunner().invoke(commands, [*arguments, "--cache", str(folder)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    shares: dict[str, float] = json.loads(result.stdout)["seen_in_fitting"]["metric"]
    return shares


def test_weights_that_go_out_remember_what_they_were_fitted_to(ada: TestClient[Any], tmp_path: Path) -> None:
    for seed in range(5):
        teach(ada, seed)
    taught = ada.get("/profiles/ada/rankings").content
    assert seen(ada, "ada", taught, tmp_path) == {"rankings": 1.0, "images": 1.0}
    ada.post("/profiles", json={"name": "heir", "parent": "ada"})
    assert seen(ada, "heir", taught, tmp_path) == {"rankings": 1.0, "images": 1.0}
    ada.put("/profiles/bob/weights", content=ada.get("/profiles/ada/weights").content)
    ada.post("/profiles/bob/reset")
    assert seen(ada, "bob", taught, tmp_path) == {"rankings": 1.0, "images": 1.0}


def test_weights_that_were_fitted_to_nothing_have_seen_nothing(ada: TestClient[Any], tmp_path: Path) -> None:
    for seed in range(5):
        teach(ada, seed)
    taught = ada.get("/profiles/ada/rankings").content
    ada.post("/profiles", json={"name": "bob"})
    assert seen(ada, "bob", taught, tmp_path) == {"rankings": 0.0, "images": 0.0}
    ada.post("/profiles/ada/reset")
    assert seen(ada, "ada", taught, tmp_path) == {"rankings": 0.0, "images": 0.0}


def test_exported_rankings_hold_channel_distances_and_no_image(ada: TestClient[Any]) -> None:
    teach(ada, 1)
    (line,) = ada.get("/profiles/ada/rankings").text.splitlines()
    fields = json.loads(line)
    assert re.fullmatch("sha256:[0-9a-f]{64}", fields["target"])
    told = {"set", "comparison", "at", "target", "candidates", "z", "backbone", "resolution", "ranks"}
    assert set(fields) == told


def test_imported_weights_are_used_and_later_fits_start_from_them(ada: TestClient[Any]) -> None:
    values = np.zeros(Z_LENGTH, np.float32)
    values[LAYERS[4]] = 1
    response = ada.put("/profiles/blue/weights", content=format_weights(LayerWeights(values, "lab-7")))
    assert (response.status_code, response.json()["parent"]) == (201, "lab-7")
    assert order_of(rank(ada, 3, "blue")) == bluest(3)
    response = ada.put("/profiles/ada/weights", content=format_weights(LayerWeights(values, "lab-7")))
    assert (response.status_code, response.json()["version"]) == (200, 2)
    assert teach(ada, 1)["before"] == 1.0


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (b"", "not a safetensors file"),
        (b"\x80\x04K*.", "not a safetensors file"),
        (
            format_weights(LayerWeights(np.ones(Z_LENGTH, np.float32), "x", backbone="0" * 64)),
            "belong to the backbone",
        ),
    ],
)
def test_weights_that_cannot_be_used_are_refused(teachable: TestClient[Any], weights: bytes, reason: str) -> None:
    problem = assert_problem(teachable.put("/profiles/x/weights", content=weights), 422, "invalid-request")
    assert reason in problem["detail"]
    assert teachable.get("/profiles/x").status_code == 404


def hostile(**metadata: str) -> bytes:
    """A weights file with LPIPS's weights and this metadata."""
    sound = {"format": "clpips-weights-2", "name": "x", "backbones": json.dumps({"alexnet": SHIPPED_FINGERPRINT})}
    tensors = {"aligned": np.ones(1152, np.float32)}
    return safetensors.numpy.save(tensors, {**sound, "resolution": "256", **metadata})


@pytest.mark.parametrize(
    "content",
    [
        hostile(resolution=str(2**63)),
        hostile(resolution="9" * 5000),
        hostile(resolution="-256"),
        hostile(resolution="0"),
        hostile(resolution="2_56"),
        hostile(resolution="²"),
        hostile(agreement="[" * 20_000),
        hostile(backbones="[" * 20_000),
        hostile(backbones='{"alexnet":' * 4_000),
        hostile(trained_on='{"images": 5}'),
        hostile(backbones="[]"),
        safetensors.numpy.save({"aligned": np.full(1152, 3e38, np.float32)}, {"format": "clpips-weights-2"}),
        safetensors.numpy.save({"aligned": np.full(1152, 1e300)}, {"format": "clpips-weights-2"}),
        (60_000).to_bytes(8, "little") + b"[" * 60_000,
        (2**63).to_bytes(8, "little") + b"{}",
        b"",
    ],
    ids=lambda content: repr(content[-30:]),
)
def test_a_hostile_weights_file_is_refused_and_changes_nothing(teachable: TestClient[Any], content: bytes) -> None:
    assert_problem(teachable.put("/profiles/evil/weights", content=content), 422, "invalid-request")
    assert teachable.get("/profiles").json()["profiles"] == []


def test_weights_that_overflow_are_refused_where_everything_else_is_sound(teachable: TestClient[Any]) -> None:
    for value in (3e38, 1e20, 1e300, np.inf):
        tensors = {"aligned": np.full(1152, value)}
        sound = json.dumps({"alexnet": SHIPPED_FINGERPRINT})
        metadata = {"format": "clpips-weights-2", "name": "x", "backbones": sound, "resolution": "256"}
        answer = teachable.put("/profiles/evil/weights", content=safetensors.numpy.save(tensors, metadata))
        assert_problem(answer, 422, "invalid-request")


LINE_FEED = "ada\n"


def test_a_line_feed_at_the_end_of_a_name_is_part_of_no_name(ada: TestClient[Any]) -> None:
    assert_problem(ada.post("/profiles", json={"name": LINE_FEED}), 422, "invalid-request")
    assert_problem(ada.put("/profiles/ada%0A/weights", content=hostile()), 422, "invalid-request")
    for path in ("/profiles/ada%0A", "/profiles/ada%0A/weights", "/profiles/ada%0A/rankings"):
        assert_problem(ada.get(path), 404, "profile-not-found")
    assert_problem(ada.post("/profiles", json={"name": "b", "parent": LINE_FEED}), 422, "unknown-profile")
    comparison = rank(ada, 1)["comparison"]
    for wrong in ({"rater": "ada\n"}, {"comparison": comparison + "\n"}):
        body = {"comparison": comparison, "order": [0, 1, 2, 3, 4][: len(colours(1)) - 1], **wrong}
        assert ada.post("/profiles/ada/rankings", json=body).status_code in {404, 422}


def test_weights_that_learned_from_thousands_of_rankings_can_be_uploaded(ada: TestClient[Any]) -> None:
    """As `clpips fit` writes them, and as the service hands them out."""
    known = TrainedOn(frozenset(short_hash(f"ranking {number}") for number in range(30_000)))
    content = format_weights(replace(load_weights("balanced"), trained_on=known))
    assert ada.put("/profiles/many/weights", content=content).status_code == 201
    back = ada.get("/profiles/many/weights").content
    assert parse_weights(back).trained_on == known
    assert ada.put("/profiles/again/weights", content=back).status_code == 201


def test_too_large_a_weights_file_is_not_told_to_send_fewer_images(ada: TestClient[Any]) -> None:
    reply = ada.put("/profiles/many/weights", content=bytes(MAX_WEIGHTS_BYTES + 1))
    assert_problem(reply, 413, "body-too-large")
    assert "images" not in reply.json()["detail"].replace("without images", "")


def test_what_was_taught_at_several_resolutions_can_be_fitted_offline(ada: TestClient[Any], tmp_path: Path) -> None:
    for seed in range(4):
        target, *candidates = colours(seed)
        side = 256 if seed % 2 else 64
        body, content_type = rank_body("msgpack", flat(target), [flat(one) for one in candidates], resolution=side)
        comparison = ada.post("/rank", content=body, headers={"content-type": content_type}).json()["comparison"]
        order = {"comparison": comparison, "order": bluest(seed)}
        assert ada.post("/profiles/ada/rankings", json=order).status_code == 201
    lines, out = tmp_path / "ada.jsonl", tmp_path / "offline.safetensors"
    lines.write_bytes(ada.get("/profiles/ada/rankings").content)
    arguments = ["fit", str(lines), "--recipe", "personal", "--out", str(out), "--cache", str(tmp_path)]
    result = CliRunner().invoke(commands, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(commands, ["evaluate", str(lines), "--cache", str(tmp_path)], catch_exceptions=False)
    assert "compared at several resolutions (64, 256)" in " ".join(result.output.split())


@pytest.mark.parametrize(("sides", "written"), [([64, 64], 64), ([64, 256], 256)])
def test_weights_say_at_what_resolution_they_were_learned(ada: TestClient[Any], sides: list[int], written: int) -> None:
    for seed, side in enumerate(sides):
        target, *candidates = colours(seed)
        body, content_type = rank_body("msgpack", flat(target), [flat(one) for one in candidates], resolution=side)
        comparison = ada.post("/rank", content=body, headers={"content-type": content_type}).json()["comparison"]
        order = {"comparison": comparison, "order": bluest(seed)}
        made = ada.post("/profiles/ada/rankings", json=order).json()
    version = made["proposed"] or made["version"]
    assert version > 1
    weights = parse_weights(ada.get("/profiles/ada/weights", params={"version": version}).content)
    assert weights.resolution == written
