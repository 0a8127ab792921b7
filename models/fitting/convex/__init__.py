"""Convex learning to rank for one person or many: comparisons, coordinates of weights, solver, validation, averages."""
