"""Command line of the metric: a file a command."""
