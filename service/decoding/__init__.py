"""Decoding in processes of its own, which can be ended: what a file does to a decoder, it does to nobody else."""
