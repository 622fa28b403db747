"""Conflicts as the ledger keeps them: those that stop the link, those of the whole link, and news of them."""
