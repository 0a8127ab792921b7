"""ONNX export: the metric and its parts as files that run elsewhere, without this project."""

import shutil
from pathlib import Path

import onnx

from clpips.models.export.content_graph import content_graph
from clpips.models.export.onnx_graphs import compare_graph, embed_graph, metric_graph
from clpips.models.metric.backbone_file import SHIPPED_CONTENT, Backbone, tensor_offsets


def export_onnx(out: Path, backbone: Backbone) -> list[Path]:
    """Write the whole metric to `out`, its parts beside it, and the files of weights that all of them point into.

    Returns the paths written: `NAME.onnx`, `NAME.embed.onnx` (AlexNet), `NAME.content.onnx` (the content network),
    `NAME.compare.onnx` and the two networks' safetensors files.

    >>> from tempfile import TemporaryDirectory
    >>> from clpips.models.metric.backbone_file import load_backbone
    >>> with TemporaryDirectory() as folder:
    ...     [path.name for path in export_onnx(Path(folder, "clpips.onnx"), load_backbone())][:4]
    ['clpips.onnx', 'clpips.embed.onnx', 'clpips.content.onnx', 'clpips.compare.onnx']
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    beside, content = (_copied(path, out.parent) for path in (backbone.path, SHIPPED_CONTENT))
    offsets, content_offsets = tensor_offsets(beside), tensor_offsets(content)
    graphs = {
        out: metric_graph(beside.name, offsets, content.name, content_offsets, backbone.net),
        out.with_suffix(".embed.onnx"): embed_graph(beside.name, offsets, backbone.net),
        out.with_suffix(".content.onnx"): content_graph(content.name, content_offsets, any_size=True),
        out.with_suffix(".compare.onnx"): compare_graph(backbone.net),
    }
    for path, graph in graphs.items():
        path.write_bytes(graph.SerializeToString(deterministic=True))
        onnx.checker.check_model(str(path), full_check=True)
    return [*graphs, beside, content]


def _copied(path: Path, folder: Path) -> Path:
    """The file's copy in a folder, or the file itself where that is its folder."""
    copy = folder / path.name
    if not copy.exists() or not copy.samefile(path):
        shutil.copyfile(path, copy)
    return copy
