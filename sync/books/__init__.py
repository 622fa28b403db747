"""The accountant's arithmetic: roll-forward, ageing, settlement between stores, statements. Pure."""
