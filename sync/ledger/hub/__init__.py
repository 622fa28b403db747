"""What callers of the API did, their requests, tokens and guesses."""
