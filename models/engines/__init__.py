"""Engines run the frozen backbone: their contract, the two that fulfil it, and the choice between them."""
