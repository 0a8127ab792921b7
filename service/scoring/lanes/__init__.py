"""Lanes, one a device: an engine in threads of its own, its queues, its health, and the choice between them."""
