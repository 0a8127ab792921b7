"""The metric as ONNX graphs."""
