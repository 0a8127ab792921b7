"""Agreement statistics of a metric and people: correlation, intraclass correlation, bootstrap, evaluation."""
