"""Bulk scoring against its bars: pace, images embedded, memory, planning, and what Ray costs."""
