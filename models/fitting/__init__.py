"""From ordered pairs to weights."""
