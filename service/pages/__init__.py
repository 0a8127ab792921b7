"""Pages that people open: static files and the one place that reads them. No build step, nothing from other hosts."""
