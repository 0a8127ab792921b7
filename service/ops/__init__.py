"""What operators see: metrics, logs, memory, slow request heads."""
