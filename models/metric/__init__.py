"""The metric: backbone, channel distances `z`, weights and their files."""
