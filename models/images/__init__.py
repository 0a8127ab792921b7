"""Bytes to pixels: the only room that decodes or resizes."""
