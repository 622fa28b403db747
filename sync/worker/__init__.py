"""One pass, or service until stopped."""
