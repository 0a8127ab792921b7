"""The backbone on PyTorch: NVIDIA GPUs, and the CPU as the reference."""
