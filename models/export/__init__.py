"""Export of the metric for other runtimes: ONNX graphs and files, and how far they are from PyTorch."""
