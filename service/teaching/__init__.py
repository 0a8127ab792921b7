"""A ranking's whole way: kept, learned from, guarded, taken into use."""
