"""What the load tests and benchmarks share: clients, contenders, pictures, measures."""
