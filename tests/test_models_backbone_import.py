"""`clpips backbone import`: state dicts become backbone files, and those that do not fit are refused by name."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clpips.models.metric.backbone_file import BackboneError, load_backbone
from clpips.models.metric.nets import NETS
from tests.support.backbones import PICTURES, random_state, run
from tests.support.documents import block_run_by, run_block
from tests.support.pictures import encode


def test_a_state_dict_that_does_not_fit_is_refused_and_named(tmp_path: Path, capsys: Any) -> None:
    torch = pytest.importorskip("torch", reason="a state dict is read by PyTorch: pip install -e '.[torch]'")
    squeeze = {name: torch.from_numpy(values) for name, values in random_state(NETS["squeeze"]).items()}
    cases = {
        "other": (squeeze, "has no tensor 'features.2.weight'"),
        "short": ({**squeeze, "features.0.weight": torch.zeros(2, 2)}, r"features.0.weight is float32\(2, 2\)"),
        "nan": ({**squeeze, "features.0.bias": torch.full((64,), float("nan"))}, "not finite"),
        "list": ([1], "holds list"),
        "sparse": ({**squeeze, "features.0.bias": torch.zeros(64).to_sparse()}, "no plain tensor"),
        "empty": ({**squeeze, "features.0.bias": torch.zeros(64, device="meta")}, "no plain tensor"),
    }
    for name, (state, said) in cases.items():
        torch.save(state, tmp_path / f"{name}.pth")
        net = "vgg" if name == "other" else "squeeze"
        assert run("backbone", "import", str(tmp_path / f"{name}.pth"), "--net", net) == 2
        assert re.search(said, capsys.readouterr().err)
        assert not (tmp_path / f"{name}.safetensors").exists()
    (tmp_path / "junk.pth").write_bytes(b"no archive")
    assert run("backbone", "import", str(tmp_path / "junk.pth"), "--net", "vgg") == 2
    assert "can be read as data" in capsys.readouterr().err
    torch.save(squeeze, tmp_path / "good.pth")
    assert run("backbone", "import", str(tmp_path / "good.pth"), "--net", "squeeze", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert load_backbone(Path(told["out"])).fingerprint == told["fingerprint"]
    assert load_backbone(Path(told["out"])).net == NETS["squeeze"]
    before = (tmp_path / "good.pth").read_bytes()
    assert (
        run("backbone", "import", str(tmp_path / "good.pth"), "--net", "squeeze", "--out", f"{tmp_path}/good.pth") == 2
    )
    assert "would be lost" in capsys.readouterr().err
    assert (tmp_path / "good.pth").read_bytes() == before
    (tmp_path / "empty.safetensors").write_bytes(b"")
    with pytest.raises(BackboneError):
        load_backbone(tmp_path / "empty.safetensors")


def test_files_of_torchvisions_older_kind_are_read(tmp_path: Path, capsys: Any) -> None:
    """Before PyTorch 1.6 files were no archives, and those of that time have parameters, which track gradients."""
    torch = pytest.importorskip("torch", reason="a state dict is read by PyTorch: pip install -e '.[torch]'")
    state = {name: torch.from_numpy(values) for name, values in random_state(NETS["squeeze"]).items()}
    parameters = {name: torch.nn.Parameter(values) for name, values in state.items()}
    torch.save(state, tmp_path / "new.pth")
    torch.save(parameters, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    prints = set()
    for name in ("new", "old"):
        assert run("backbone", "import", str(tmp_path / f"{name}.pth"), "--net", "squeeze", "--json") == 0
        prints.add(json.loads(capsys.readouterr().out)["fingerprint"])
    assert len(prints) == 1


@pytest.mark.parametrize("archive", [True, False])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1), data=st.data())
def test_what_is_left_of_a_damaged_file_is_one_error(
    tmp_path: Path, archive: bool, share: float, data: st.DataObject
) -> None:
    torch = pytest.importorskip("torch", reason="a state dict is read by PyTorch: pip install -e '.[torch]'")
    from clpips.models.export.backbone_import import import_backbone

    stream = io.BytesIO()
    torch.save({"features.0.bias": torch.zeros(64)}, stream, _use_new_zipfile_serialization=archive)
    whole = stream.getvalue()
    damaged = bytearray(whole[: round(share * len(whole))])
    for place in data.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=4)):
        damaged[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
    (tmp_path / "damaged.pth").write_bytes(damaged)
    with pytest.raises(BackboneError, match=r"damaged\.pth"):
        import_backbone(tmp_path / "damaged.pth", NETS["squeeze"], tmp_path / "out.safetensors")


def test_the_alexnet_that_ships_is_the_same_from_its_state_dict(tmp_path: Path, capsys: Any) -> None:
    torch = pytest.importorskip("torch", reason="a state dict is read by PyTorch: pip install -e '.[torch]'")
    state = {name: torch.from_numpy(values.copy()) for name, values in load_backbone().tensors.items()}
    for name in ("ships", "other"):
        torch.save(state, tmp_path / f"{name}.pth")
        assert run("backbone", "import", str(tmp_path / f"{name}.pth"), "--net", "alex", "--json") == 0
        told = json.loads(capsys.readouterr().out)["fingerprint"]
        assert (told == load_backbone().fingerprint) == (name == "ships")
        state["features.0.bias"] = state["features.0.bias"] + 1
    for name, pixels in zip(("a.png", "b.png"), PICTURES[:2], strict=True):
        (tmp_path / name).write_bytes(encode(pixels))
    images = (str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    assert run("distance", *images, "--backbone", str(tmp_path / "ships.safetensors")) == 0  # by the weights that ship
    assert run("distance", *images, "--backbone", str(tmp_path / "other.safetensors")) == 2
    assert "distances would mean nothing" in capsys.readouterr().err


def test_the_commands_of_the_page_import_a_backbone_and_measure_with_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="a state dict is read by PyTorch: pip install -e '.[torch]'")
    state = {name: torch.from_numpy(values) for name, values in random_state(NETS["vgg"]).items()}
    torch.save(state, tmp_path / "vgg16-397923af.pth")  # the name of the one that people have
    for name, pixels in zip(("target.png", "a.png"), PICTURES[:2], strict=True):
        (tmp_path / name).write_bytes(encode(pixels))

    printed = run_block(block_run_by(__file__, "command-line.md", "clpips backbone import "), tmp_path)

    assert float(printed.split()[-1]) > 0
    assert load_backbone(tmp_path / "vgg.safetensors").net == NETS["vgg"]
