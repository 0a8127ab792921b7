"""Weights as a state dict of the `lpips` package: a person's metric as a loss, with gradients.

`lpips.LPIPS(net="alex")` has the backbone's convolutions in `net.slice1` to `net.slice5`, a linear layer for each of
the five taps, `lin0` to `lin4`, which stand in `lins` a second time, and the shift and scale of its inputs. With
`net="vgg"` and `net="squeeze"` there are as many as these have taps. The family `aligned` is what it computes; other
families it has no place for.
"""

from io import BytesIO
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from clpips.models.metric.backbone import INPUT_SCALE, INPUT_SHIFT
from clpips.models.metric.backbone_file import Backbone
from clpips.models.metric.nets import Conv, Fire, Tap
from clpips.models.metric.weights import LayerWeights, WeightsError
from clpips.models.metric.whole_files import write_whole

ALIGNED: Final = "aligned"


def lpips_state(weights: LayerWeights, backbone: Backbone) -> dict[str, Tensor]:
    """The state dict, complete: `load_state_dict` takes it strictly.

    The distances of the module that loads it are the aligned part of those by `weights`. Raises `WeightsError` where
    `aligned` counts for nothing, or the weights belong to another backbone.
    """
    weights.require_backbone(backbone.fingerprint, backbone.net.name)
    if ALIGNED not in weights.families:
        raise WeightsError(
            f"the weights {weights.name!r} have none in the family {ALIGNED!r}, which is all that lpips.LPIPS "
            "computes: there is nothing to export"
        )
    state = {
        "scaling_layer.shift": torch.tensor(INPUT_SHIFT)[None, :, None, None],  # (1, 3, 1, 1)
        "scaling_layer.scale": torch.tensor(INPUT_SCALE)[None, :, None, None],
    }
    number = 1  # of the slice that ends with the next tap
    for step in backbone.net.steps:
        convolutions = (step,) if isinstance(step, Conv) else step.convolutions if isinstance(step, Fire) else ()
        for convolution in convolutions:
            place = convolution.key.removeprefix("features.")  # torchvision's numbers of layers
            for part in ("weight", "bias"):
                tensor = torch.from_numpy(backbone.tensors[f"{convolution.key}.{part}"].copy())
                state[f"net.slice{number}.{place}.{part}"] = tensor
        number += isinstance(step, Tap)
    values = torch.from_numpy(weights.aligned.copy())  # (c,)
    for number, layer in enumerate(backbone.net.layers):
        linear = values[layer][None, :, None, None].clone()  # (1, c, 1, 1)
        state[f"lin{number}.model.1.weight"] = state[f"lins.{number}.model.1.weight"] = linear
    return state


def left_out(weights: LayerWeights) -> dict[str, float]:
    """The families that a state dict has no place for, each with its share of a typical distance."""
    return {name: share for name, share in weights.family_shares().items() if name != ALIGNED and share}


def export_lpips(path: Path, weights: LayerWeights, backbone: Backbone) -> dict[str, float]:
    """Write the state dict, which `torch.load(path, weights_only=True)` reads, and say what is `left_out`."""
    state = lpips_state(weights, backbone)
    content = BytesIO()  # `torch.save` has errors of its own for a path, and for a disk that is full
    torch.save(state, content)
    write_whole(path, content.getvalue())
    return left_out(weights)
