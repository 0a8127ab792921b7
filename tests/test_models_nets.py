"""VGG16 and SqueezeNet beside AlexNet: the `lpips` package's distances on both engines, refused by name."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient
from numpy.typing import NDArray

from clpips.models.api import Metric
from clpips.models.engines.contract import EngineError, EngineName
from clpips.models.engines.onnx import OnnxEngine
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.metric.backbone_file import Backbone
from clpips.models.metric.distance import distance_by_family, distance_by_layer, weigh
from clpips.models.metric.families import LAYOUTS
from clpips.models.metric.masks import Mask
from clpips.models.metric.nets import NETS
from clpips.models.metric.packing import unpack_z
from clpips.models.metric.weights import LayerWeights, WeightsError, combine_families
from clpips.models.metric.weights_files import format_weights, load_weights, parse_weights
from clpips.models.rankings.stored_z import decode_z
from tests.support.backbones import PICTURES, random_state, run
from tests.support.pictures import encode, picture, variation
from tests.support.services import assert_problem, pointers, serving

OTHERS = ["vgg", "squeeze"]


@pytest.fixture(scope="session", params=OTHERS)
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A backbone file of random weights, as `clpips backbone import` writes it."""
    torch = pytest.importorskip("torch", reason="a state dict is read by PyTorch: pip install -e '.[torch]'")
    from clpips.models.export.backbone_import import import_backbone

    net = NETS[request.param]
    folder = tmp_path_factory.mktemp(net.name)
    state = {name: torch.from_numpy(values) for name, values in random_state(net).items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(3)}, folder / "net.pth")
    return import_backbone(folder / "net.pth", net, folder / "net.safetensors")


def write(backbone: Backbone, folder: Path) -> str:
    """Two pictures in a folder; the option that names the backbone."""
    for name, pixels in zip(("a.png", "b.png", "c.png"), PICTURES, strict=True):
        (folder / name).write_bytes(encode(pixels))
    return f"--backbone={backbone.path}"


@pytest.mark.torch
@pytest.mark.parametrize("net", NETS)
def test_its_weights_are_those_of_the_package(net: str) -> None:
    from importlib.resources import files

    import torch

    from loadtest.kit.reference import scipy_or_a_stand_in
    from loadtest.kit.torchvisions import import_torchvision

    import_torchvision()
    with scipy_or_a_stand_in():
        path = files("lpips") / "weights" / "v0.1" / f"{net}.pth"
    state = torch.load(str(path), map_location="cpu", weights_only=True)
    published = np.concatenate([one.numpy().ravel() for one in state.values()])
    np.testing.assert_array_equal(load_weights("lpips", net).aligned, published)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["onnx", "torch"])
@pytest.mark.parametrize("size", [(64, 64), (97, 131)])
def test_distances_are_those_of_the_lpips_package(backbone: Backbone, name: EngineName, size: tuple[int, int]) -> None:
    import torch

    from loadtest.kit.reference import load_lpips

    target = picture(5, *size)
    images = np.stack([target, variation(target, 6, 0.3), picture(7, *size)])
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    expected = load_lpips(backbone=backbone)(tensors[[0, 0, 1]], tensors[[0, 1, 2]]).flatten().numpy()
    engine = open_engine(name, "cpu", backbone=backbone.path)
    features = embed_images(engine, images)
    z = compare_images(engine, [features[0], features[0], features[1]], features, frozenset({"aligned"}))
    found = weigh(z, load_weights("lpips", backbone.net.name).values)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert expected[1] > 0.01
    engine.close()


@pytest.mark.torch
def test_both_engines_agree_on_all_families_with_masks_and_maps(backbone: Backbone) -> None:
    engines = [open_engine(name, "cpu", backbone=backbone.path) for name in ("onnx", "torch")]
    mask = Mask(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    weights = load_weights("balanced", backbone.net.name)
    rows = []
    for engine in engines:
        a, b, _ = embed_images(engine, np.stack(PICTURES))
        z = compare_images(engine, [a, a], [b, b])
        within = compare_images(engine, [a], [b], mask=mask)
        maps = engine.locate(a["alexnet"], b["alexnet"], weights.aligned)
        assert [one.shape for one in maps] == backbone.net.tap_sizes(64, 64)
        part = z[0, weights.layout.places["aligned"]] @ weights.aligned
        assert sum(one.mean(dtype=np.float64) for one in maps) == pytest.approx(part, rel=1e-5)
        rows.append(np.concatenate([z, within]))
        engine.close()
    assert rows[0].shape == (3, weights.layout.length)
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-6)
    assert distance_by_family(rows[0], weights.values).min() > 0
    layers = distance_by_layer(rows[0][:, :], weights.values)
    assert layers.shape == (3, len(backbone.net.channels))


def test_a_pair_is_one_distance_whatever_is_computed_beside_it(backbone: Backbone) -> None:
    engine = OnnxEngine(backbone=backbone)
    features = engine.embed(np.stack(PICTURES))
    pairs = engine.compare([features[0]] * 3, features)
    np.testing.assert_array_equal(engine.compare_all(features, features)[0], pairs)
    assert not pairs[0].any()
    with pytest.raises(EngineError, match="for AlexNet"):
        OnnxEngine(backbone=backbone, convolution="winograd")
    engine.close()


def test_weights_of_another_backbone_are_refused_by_name(backbone: Backbone, tmp_path: Path, capsys: Any) -> None:
    option = write(backbone, tmp_path)
    shipped = Path(load_weights.__code__.co_filename).parent.parent / "data" / "weights" / "balanced.safetensors"
    command = ["distance", str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert run(*command, option, "--weights", str(shipped)) == 2
    assert f"belong to AlexNet, and this backbone is {backbone.net.title}" in capsys.readouterr().err
    assert run(*command, "--weights", f"lpips-{backbone.net.name}") == 2
    assert f"belong to {backbone.net.title}, and this backbone is AlexNet" in capsys.readouterr().err
    for weights in ("lpips", "balanced", f"lpips-{backbone.net.name}"):
        assert run(*command, option, "--weights", weights, "--json") == 0
        assert json.loads(capsys.readouterr().out)["distance"] > 0


@pytest.mark.parametrize("convolution", ["winograd", "direct"])
def test_bulk_scoring_refuses_another_backbone(
    backbone: Backbone, tmp_path: Path, capsys: Any, convolution: str
) -> None:
    option = write(backbone, tmp_path)
    (tmp_path / "pairs.csv").write_text("target,candidate\na.png,b.png\n")
    command = ["score", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "out"), "--convolution", convolution]
    assert run(*command, option, "--engine-workers", "1") == 2
    assert f"knows AlexNet alone, and this backbone is {backbone.net.title}" in capsys.readouterr().err


def test_weights_fitted_on_one_file_are_refused_by_another(backbone: Backbone) -> None:
    layout = LAYOUTS[backbone.net.name]
    values = combine_families({"aligned": np.ones(backbone.net.total_channels)}, layout)
    own = LayerWeights(values, "own", backbone=backbone.fingerprint)
    read = parse_weights(format_weights(own))
    assert (read.layout, read.backbone) == (layout, backbone.fingerprint)
    np.testing.assert_array_equal(read.values, values)
    read.require_backbone(backbone.fingerprint, backbone.net.name)
    with pytest.raises(WeightsError, match="distances would mean nothing"):
        read.require_backbone("0" * 64, backbone.net.name)


@pytest.mark.parametrize("command", ["distance", "explain"])
def test_the_figures_of_all_layers_are_whole(backbone: Backbone, tmp_path: Path, capsys: Any, command: str) -> None:
    option = write(backbone, tmp_path)
    images = [str(tmp_path / name) for name in ("a.png", "b.png")]
    assert run(command, *images, option, "--weights", "balanced") == 0
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert all(f"conv{layer + 1} " in printed for layer in range(len(backbone.net.channels)))


@pytest.mark.parametrize("command", ["rank", "heatmap", "matrix", "explain"])
def test_commands_take_any_backbone(backbone: Backbone, tmp_path: Path, capsys: Any, command: str) -> None:
    option = write(backbone, tmp_path)
    extra = ["--out", str(tmp_path / "map.png")] if command == "heatmap" else []
    images = [str(tmp_path / name) for name in ("a.png", "b.png")]
    assert run(command, *images, option, *extra) == 0, capsys.readouterr().err
    capsys.readouterr()
    with Metric.load("balanced", backbone=str(backbone.path), resolution=64) as metric:
        with Metric.load("balanced", resolution=64) as other, pytest.raises(ValueError, match="another engine or back"):
            metric.distance(PICTURES[0], other.embed(PICTURES[1:2])[0])
        assert [row.index for row in metric.rank(PICTURES[0], PICTURES[1:])] == [0, 1]


@pytest.mark.torch
def test_a_state_dict_for_the_package_has_the_same_distances(backbone: Backbone, tmp_path: Path) -> None:
    import torch

    from clpips.models.export.lpips_state import export_lpips
    from loadtest.kit.reference import load_lpips

    rng = np.random.default_rng(1)
    values = combine_families({"aligned": rng.random(backbone.net.total_channels)}, LAYOUTS[backbone.net.name])
    weights = LayerWeights(values, "random", backbone=backbone.fingerprint)
    assert export_lpips(tmp_path / "state.pth", weights, backbone) == {}
    module = load_lpips(backbone=backbone)
    module.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    tensors = torch.from_numpy(np.stack(PICTURES)).permute(0, 3, 1, 2).float() / 127.5 - 1
    expected = float(module(tensors[:1], tensors[1:2]))
    with Metric(weights, OnnxEngine(backbone=backbone), None) as metric:
        assert metric.distance(PICTURES[0], PICTURES[1]).value == pytest.approx(expected, rel=1e-5)


@pytest.mark.torch
def test_the_graphs_that_ship_are_those_that_the_code_writes(backbone: Backbone) -> None:
    from clpips.models.engines.onnx_alexnet import EMBED_GRAPHS
    from clpips.models.export.onnx_graphs import embed_graph, nominal_offsets

    net = backbone.net
    graph = embed_graph(f"{net.name}.safetensors", nominal_offsets(net), net)
    assert EMBED_GRAPHS[net.name].read_bytes() == graph.SerializeToString(deterministic=True)


@pytest.mark.torch
def test_the_exported_metric_is_the_same(backbone: Backbone, tmp_path: Path) -> None:
    from clpips.models.export.onnx_files import export_onnx
    from clpips.models.export.parity import measure_parity

    export_onnx(tmp_path / "metric.onnx", backbone)
    weights = load_weights("balanced", backbone.net.name).values
    for parity in measure_parity(tmp_path / "metric.onnx", backbone, weights, pairs=2):
        assert parity.largest_difference < 1e-5


def post_heatmap(client: TestClient[Any], pair: Any, **options: Any) -> Any:
    return client.post("/heatmap", files=pair, data={name: str(value) for name, value in options.items()})


def npy_in(answer: Any) -> NDArray[np.float32]:
    assert answer.status_code == 200, answer.text
    values: NDArray[np.float32] = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return values


def test_a_service_serves_it_and_learns(backbone: Backbone) -> None:
    engine = OnnxEngine(backbone=backbone)
    with serving(engine) as client:
        files = [("target", encode(PICTURES[0])), *(("candidates", encode(one)) for one in PICTURES[1:])]
        ranked = client.post("/rank", files=files).json()
        assert ranked["engine"]["backbone"] == backbone.fingerprint
        with Metric(load_weights("lpips", backbone.net.name), engine, 256) as metric:
            told = [row["distance"] for row in ranked["ranking"]]
            assert told == pytest.approx([row.distance for row in metric.rank(PICTURES[0], PICTURES[1:])], abs=1e-6)
            pair = [("target", encode(PICTURES[0])), ("candidate", encode(PICTURES[1]))]
            answer = client.post("/distance", files=pair, data={"layers": "true"}).json()
            assert len(answer["layers"][0]) == len(backbone.net.channels)
            count = len(backbone.net.channels)
            maps = [post_heatmap(client, pair, layer=layer, format="npy") for layer in range(1, count + 1)]
            whole = post_heatmap(client, pair, format="npy")
            np.testing.assert_allclose(sum(npy_in(one) for one in maps), npy_in(whole), atol=1e-6)
            beyond = assert_problem(post_heatmap(client, pair, layer=count + 1), 422, "invalid-request")
            assert pointers(beyond) == ["/layer"]
            assert client.post("/profiles", json={"name": "ada"}).status_code == 201
            taught = client.post("/profiles/ada/rankings", json={"comparison": ranked["comparison"], "order": [1, 0]})
            assert taught.status_code == 201, taught.text
            rows = client.get("/profiles/ada/rankings").text.splitlines()
            z = decode_z(json.loads(rows[0])["z"], 2)
            assert unpack_z(z).shape == (2, LAYOUTS[backbone.net.name].length)
            profile = client.get("/profiles/ada").json()
            assert len(profile["layer_shares"]) == len(backbone.net.channels)
            refused = client.put("/profiles/bob/weights", content=format_weights(load_weights("lpips")))
            assert "belong to AlexNet" in assert_problem(refused, 422, "invalid-request")["detail"]
            assert client.post("/rank", files=files, data={"profile": "clpips-materials"}).status_code == 422
