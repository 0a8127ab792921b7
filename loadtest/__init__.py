"""Load: locust scenarios, and the benchmark that runs the service beside its alternatives."""
