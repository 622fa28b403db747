"""The rows of cards: leases, decisions, chains, pool numbers."""
