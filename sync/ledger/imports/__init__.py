"""The rows of imports and their sums."""
