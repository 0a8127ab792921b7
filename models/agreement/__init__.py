"""How well a metric agrees with people: correlation, intraclass correlation, bootstrap, evaluation."""
