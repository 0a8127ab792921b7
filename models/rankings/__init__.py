"""Rankings by people: their files, ordered pairs, channel distances, and splits."""
