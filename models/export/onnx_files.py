"""ONNX export: the metric and its halves as files that run elsewhere, without this project."""

import shutil
from pathlib import Path

import onnx

from clpips.models.export.onnx_graphs import compare_graph, embed_graph, metric_graph
from clpips.models.metric.backbone_file import Backbone, tensor_offsets


def export_onnx(out: Path, backbone: Backbone) -> list[Path]:
    """Write the whole metric to `out`, its halves beside it, and the backbone file that all of them point into.

    Returns the paths written: `NAME.onnx`, `NAME.embed.onnx`, `NAME.compare.onnx` and the backbone's safetensors file.

    >>> from tempfile import TemporaryDirectory
    >>> from clpips.models.metric.backbone_file import load_backbone
    >>> with TemporaryDirectory() as folder:
    ...     [path.name for path in export_onnx(Path(folder, "clpips.onnx"), load_backbone())]
    ['clpips.onnx', 'clpips.embed.onnx', 'clpips.compare.onnx', 'alexnet-imagenet1k-v1.safetensors']
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(backbone.path.name)
    if not beside.exists() or not beside.samefile(backbone.path):
        shutil.copyfile(backbone.path, beside)
    offsets = tensor_offsets(beside)
    graphs = {
        out: metric_graph(beside.name, offsets),
        out.with_suffix(".embed.onnx"): embed_graph(beside.name, offsets),
        out.with_suffix(".compare.onnx"): compare_graph(),
    }
    for path, graph in graphs.items():
        path.write_bytes(graph.SerializeToString(deterministic=True))
        onnx.checker.check_model(str(path), full_check=True)
    return [*graphs, beside]
