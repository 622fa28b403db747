"""What is sealed at rest: serials, names and tokens."""
