"""Pairwise learning to rank: from people's ordered pairs to weights."""
