"""What answers each field and mutation."""
