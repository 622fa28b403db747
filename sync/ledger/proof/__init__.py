"""The proof that rows are as they were written."""
