"""The metric: arrays in, arrays out. Knows nothing of HTTP, asyncio or databases, and imports no PyTorch by itself."""

__version__ = "0.1.0"
