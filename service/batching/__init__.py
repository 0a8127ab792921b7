"""Dynamic batching: batcher, round-robin queue, feature cache. Generic: they know items, not images."""
