"""Scoring: an image's whole way. Decode, embed, compare, weigh."""
