"""Batcher, waiting line and feature cache: generic, they know items alone."""
