"""What requests name: weights and recent comparisons, in memory."""
