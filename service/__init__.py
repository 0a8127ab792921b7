"""The HTTP service around the metric. Imports `models`; `models` never imports this."""
