"""Refinement sessions: a target, candidates that come one after the other, and a person's order of them."""
