"""Protocols by which e-commerce platforms ask a gift card provider; giftsync answers them from its ledger."""
