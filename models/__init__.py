"""The metric: arrays in, arrays out. Knows nothing of HTTP, asyncio or databases, and imports no PyTorch by itself."""
