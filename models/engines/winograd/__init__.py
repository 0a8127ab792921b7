"""Winograd's convolutions on ONNX Runtime: tiles, runs, and whether this machine gains from them."""
