"""The engine on PyTorch, and what it is made of."""
