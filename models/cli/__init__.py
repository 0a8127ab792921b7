"""The `clpips` command."""
