"""Image decoding and resampling: from bytes to pixels. On the host nothing else decodes or resizes."""
