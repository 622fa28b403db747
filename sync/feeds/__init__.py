"""How news of cards comes in: feeds, sweeps, polls and webhook deliveries."""
