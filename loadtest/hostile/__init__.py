"""Hostile and unlucky cases against a real service process: each file here holds the cases of one kind."""
